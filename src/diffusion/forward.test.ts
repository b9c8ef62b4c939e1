import { expect, it } from "vitest";
import { full } from "../tensor/tensor.js";
import {
  alphasCumprodOf,
  betasOf,
  classifierFreeGuidance,
  diffuse,
  fromConfig,
  levelOf,
  PUBLISHED_SCHEDULER,
  splitPair,
} from "./index.js";

it("arrives step by step where the closed form does", () => {
  const betas = betasOf(fromConfig(PUBLISHED_SCHEDULER));
  const alphasCumprod = alphasCumprodOf(betas);
  const [one, nothing] = [full([1], 1), full([1], 0)];
  let [kept, variance] = [one, 0];
  for (let t = 0; t < betas.length; t++) {
    kept = diffuse(kept, nothing, betas, t);
    const carried = diffuse(one, nothing, betas, t).data[0]!;
    const added = diffuse(nothing, one, betas, t).data[0]!;
    variance = carried ** 2 * variance + added ** 2;
    const level = levelOf(alphasCumprod, t);
    expect(kept.data[0]).toBeCloseTo(level.alpha, 4);
    expect(variance).toBeCloseTo(level.sigma ** 2, 4);
  }
});

it("splits what was answered without a prompt and with one", () => {
  const data = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const { uncond, cond } = splitPair({ shape: [4, 2], data });
  expect(uncond).toEqual({ shape: [2, 2], data: data.slice(0, 4) });
  expect(cond).toEqual({ shape: [2, 2], data: data.slice(4) });
});

it.each([
  [{ scale: Number.NaN }, /^guidance scale: expected a finite number, got NaN\./],
  [{ scale: 7, rescale: 2 }, /^guidance rescale: expected 0 to 1, got 2\./],
  [{ scale: 7, steps: { from: 3, to: 3 } }, /^guidance: expected a range of steps/],
])("refuses the guidance %j", (options, message) => {
  const network = {
    both: () => expect.unreachable(),
    cond: () => expect.unreachable(),
  };
  expect(() => classifierFreeGuidance(network, options)).toThrow(message);
});
