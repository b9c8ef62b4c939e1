import { expect, test } from "vitest";
import {
  describeFit,
  type GrowthPoint,
  type GrowthResult,
  growthChart,
  growthSeries,
  isSame,
  planGrowth,
} from "./growth.js";

const RANGE = { sides: [256, 512, 1024], batches: [1, 2, 4], steps: [1, 10], side: 512 };

test("every point once, the cheapest first", () => {
  const points = planGrowth(RANGE);
  expect(points).toHaveLength(3 + 3 + 2 + 2); // a batch of 1 at 512 pixels is one of the sides
  expect(points[0]).toMatchObject({ side: 256, batch: 1, steps: 0 });
  expect(points.at(-1)!.side * points.at(-1)!.steps).toBeGreaterThan(1000);
  for (const [i, point] of points.entries()) {
    expect(points.findIndex((other) => isSame(point, other))).toBe(i);
  }
});

/** What a program of this law takes. */
const law = ({ what, side, batch, steps }: GrowthPoint): number => {
  const megapixels = side ** 2 / 1e6;
  if (what === "picture") return 3 + 5 * steps;
  return what === "decode"
    ? 25 * megapixels
    : batch * (0.1 + 12 * megapixels + 8 * megapixels ** 2);
};
const RESULTS: GrowthResult[] = planGrowth(RANGE).map((point) => {
  return { ...point, contestant: "tintype fp32", seconds: law(point), peakBytes: 4e9 };
});

test("the laws of time and memory are found again", () => {
  const series = growthSeries(RESULTS, 512);
  expect(series.map(({ title, x, unit }) => `${title}, ${x}, ${unit}`)).toEqual([
    "Guided step, pixels along a side, s",
    "Decode, pixels along a side, s",
    "Guided step at 512 pixels, pictures at once, s",
    "Whole picture at 512 pixels, steps, s",
    "Memory of a guided step, pixels along a side, GB",
    "Memory of a decode, pixels along a side, GB",
    "Memory of a guided step at 512 pixels, pictures at once, GB",
    "Memory of a whole picture at 512 pixels, steps, GB",
  ]);
  const described = (i: number): string => {
    const { lines, unit, per } = series[i]!;
    return describeFit(lines[0]!.fit!, unit, per);
  };
  expect(described(0)).toMatch(/^0\.1 s \+ 12 s a megapixel \+ 8 s a megapixel squared \(off by /);
  expect(described(1)).toMatch(/^25 s a megapixel/);
  expect(described(3)).toMatch(/^3 s \+ 5 s a step \(off by /);
  expect(described(4)).toMatch(/^4 GB/);
  expect(series[2]!.lines[0]!.points.map(([batch]) => batch)).toEqual([1, 2, 4]);
});

test("what is not measured yet is not drawn", () => {
  expect(growthSeries([], 512)).toEqual([]);
  const one = { ...RESULTS[0]!, contestant: "diffusers bf16" };
  const series = growthSeries([...RESULTS, one], 512);
  const lonely = series[0]!.lines[1]!;
  expect(lonely).toMatchObject({ contestant: "diffusers bf16", fit: undefined });
  const svg = growthChart(series, "SD 1.5 on a machine");
  expect(svg).toContain("SD 1.5 on a machine");
  expect([...svg.matchAll(/>tintype fp32</g)]).toHaveLength(8);
  expect([...svg.matchAll(/>diffusers bf16</g)]).toHaveLength(2);
  expect(svg).not.toContain("NaN");
});
