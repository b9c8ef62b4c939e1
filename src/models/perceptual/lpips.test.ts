import { expect, test } from "vitest";
import { type Array64, evaluate } from "../../graph/evaluate.js";
import { input } from "../../graph/ops.js";
import { featureDistance } from "./lpips.js";

const array = (data: readonly number[]): Array64 => ({
  shape: [1, 2, 2],
  data: Float64Array.from(data),
});

function distance(a: readonly number[], b: readonly number[]): number {
  const shape = [1, 2, 2]; // one picture, two tokens of two channels
  const value = featureDistance([input("a", shape)], [input("b", shape)]);
  const params = (name: string): never => expect.unreachable(name);
  return evaluate([value], { inputs: { a: array(a), b: array(b) }, params })[0]!.data[0]!;
}

test("features are compared by their direction: nothing, a right angle, the opposite", () => {
  expect(distance([1, 0, 0, 1], [7, 0, 0, 2])).toBeCloseTo(0, 12);
  expect(distance([1, 0, 0, 1], [0, 1, 1, 0])).toBeCloseTo(2, 6);
  expect(distance([1, 0, 0, 1], [-1, 0, 0, -3])).toBeCloseTo(4, 6);
  expect(distance([1, 0, 0, 1], [0, 5, 0, 1])).toBeCloseTo(1, 6);
});

test("features that are all zero are as any other, and finite", () => {
  expect(distance([0, 0, 0, 0], [0, 0, 0, 0])).toBe(0);
  expect(distance([0, 0, 0, 0], [1, 0, 0, 1])).toBeCloseTo(1, 6);
});
