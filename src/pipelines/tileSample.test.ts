import { describe, expect, test } from "vitest";
import { type Tensor, tensor } from "../tensor/tensor.js";
import { sampleOf } from "./tileSample.js";

/** A picture whose two channels change from place to place: a slope, and dark with a bright corner. */
function uneven(height: number, width: number): Tensor {
  const area = height * width;
  const data = Float32Array.from({ length: 2 * area }, (_, i) => {
    const [y, x] = [Math.floor((i % area) / width) / height, (i % width) / width];
    return i < area ? x + 0.2 * Math.sin(40 * y) : x > 0.7 && y > 0.6 ? 3 : 0.1 * Math.cos(9 * x);
  });
  return tensor([1, 2, height, width], data);
}

const mean = (v: ArrayLike<number>): number => Array.from(v).reduce((n, x) => n + x, 0) / v.length;

/** Mean of a channel over patches' centres, each by its share. */
function sampled(
  { patches, shares }: ReturnType<typeof sampleOf>,
  channel: number,
  margin: number,
) {
  const [count, c, side] = patches.shape as [number, number, number];
  let sum = 0;
  for (let k = 0; k < count; k++) {
    const plane = patches.data.subarray((k * c + channel) * side * side).slice(0, side * side);
    const centre = plane.filter((_, i) => {
      const [y, x] = [Math.floor(i / side), i % side];
      return Math.min(y, x) >= margin && Math.max(y, x) < side - margin;
    });
    sum += shares.data[k]! * mean(centre);
  }
  return sum;
}

describe("a sample", () => {
  const shape = { count: 64, side: 6, margin: 1 };
  const x = uneven(50, 80);

  test("is patches of the picture with shares that sum to one, the same each time", () => {
    const sample = sampleOf(x, shape);
    expect(sample.patches.shape).toEqual([64, 2, 6, 6]);
    expect(sample.shares.shape).toEqual([64]);
    expect(mean(sample.shares.data) * 64).toBeCloseTo(1, 6);
    expect(Math.min(...sample.shares.data)).toBeGreaterThanOrEqual(0);
    expect(sampleOf(x, shape)).toEqual(sample);
    const rows = new Set<string>();
    for (let y = 0; y < 50; y++) rows.add(`${x.data.slice(y * 80, y * 80 + 80)}`);
    const found = [...rows].some((row) => row.includes(`${sample.patches.data.slice(0, 6)}`));
    expect(found).toBe(true);
  });

  test("has the picture's means, better than by chance", () => {
    const sample = sampleOf(x, shape);
    const equal = { ...sample, shares: tensor([64], new Float32Array(64).fill(1 / 64)) };
    for (const channel of [0, 1]) {
      const want = mean(x.data.slice(channel * 4000, (channel + 1) * 4000));
      const [off, byChance] = [sample, equal].map((s) => Math.abs(sampled(s, channel, 1) - want));
      expect(off).toBeLessThan(0.01);
      expect(off).toBeLessThan(byChance!);
    }
  });

  test("of a picture without any change counts all patches alike", () => {
    const flat = tensor([1, 1, 9, 9], new Float32Array(81).fill(0.5));
    const { shares } = sampleOf(flat, shape);
    for (const share of shares.data) expect(share).toBeCloseTo(1 / 64, 9);
  });

  test("of a picture smaller than a patch goes on beyond its edges", () => {
    const { patches } = sampleOf(uneven(2, 80), shape);
    expect(patches.shape).toEqual([64, 2, 6, 6]);
    expect(patches.data.every(Number.isFinite)).toBe(true);
  });
});
