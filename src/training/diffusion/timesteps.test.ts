import { expect, test } from "vitest";
import { randomFor } from "../random.js";
import { drawTimesteps } from "./timesteps.js";

const COUNT = 20_000;

/** Share of drawn timesteps that are below `t` of 1000. */
function shareBelow(timesteps: Int32Array, t: number): number {
  return timesteps.filter((x) => x < t).length / timesteps.length;
}

test("every timestep is as likely", () => {
  const drawn = drawTimesteps(randomFor(7, "timesteps"), COUNT, 1000, null);
  for (const t of [100, 500, 900]) expect(shareBelow(drawn, t)).toBeCloseTo(t / 1000, 1);
});

test("logit-normal timesteps follow their distribution", () => {
  const drawn = drawTimesteps(randomFor(7, "timesteps"), COUNT, 1000, { mean: 0.5, std: 1.5 });
  // Normal shares below -1, 0 and 1 deviations from the mean.
  const at = (x: number) => Math.round(1000 / (1 + Math.exp(-(0.5 + 1.5 * x))));
  for (const [x, share] of [
    [-1, 0.1587],
    [0, 0.5],
    [1, 0.8413],
  ] as const) {
    expect(Math.abs(shareBelow(drawn, at(x)) - share)).toBeLessThan(0.01);
  }
});

test("the last timestep is the largest, however far the tail reaches", () => {
  const drawn = drawTimesteps(randomFor(7, "timesteps"), COUNT, 10, { mean: 40, std: 1 });
  expect(new Set(drawn)).toEqual(new Set([9]));
});
