import { expect, test } from "vitest";
import * as composite from "./composites.js";
import { mulDims, symbol } from "./dim.js";
import { graphOf } from "./graph.js";
import { largestActivationBytes, peakActivationBytes } from "./liveness.js";
import * as op from "./ops.js";
import type { Value } from "./value.js";

const n = symbol("n");
const x = op.input("x", [n]);
const peak = (y: Value | Record<string, Value>, bindings: Record<string, number> = { n: 100 }) =>
  peakActivationBytes(
    graphOf("op" in y ? { y: y as Value } : (y as Record<string, Value>)),
    bindings,
  );

test("a chain holds two results at a time, however long", () => {
  expect(peak(op.exp(x))).toBe(800);
  let y = x;
  for (let i = 0; i < 10; i++) y = op.exp(y);
  expect(peak(y)).toBe(800);
  expect(peak(y, { n: 7 })).toBe(56);
});

test("a result that is used again later stays", () => {
  const kept = op.exp(x);
  const far = op.neg(op.neg(op.neg(kept)));
  expect(peak(op.add(kept, far))).toBe(1200); // kept, far and their sum
});

test("an output stays to the end", () => {
  const early = op.exp(x);
  const late = op.neg(op.neg(op.neg(early)));
  expect(peak({ late })).toBe(800);
  expect(peak({ early, late })).toBe(1200);
});

test("a reshape shares its input's memory and keeps it alive", () => {
  const square = op.reshape(op.exp(x), [n, 1]);
  expect(peak(square)).toBe(800);
  expect(peak(op.neg(op.reshape(square, [1, n])))).toBe(800);
  const shared = op.exp(x);
  expect(peak(op.add(op.reshape(shared, [n, 1]), op.reshape(shared, [n, 1])))).toBe(800);
  const wide = op.add(square, op.reshape(x, [1, n])); // [n, n]
  expect(peak(wide)).toBe(4 * (100 + 100 + 10_000));
});

test("weights do not count, compositions count as one", () => {
  const w = op.param("w", [100, 100]);
  const matrix = op.input("x", [n, 100]);
  expect(peak(composite.linear(matrix, w), { n: 3 })).toBe(2 * 1200);
  expect(peak(composite.softmax(matrix), { n: 3 })).toBe(2 * 1200);
});

test("sizes follow the symbols", () => {
  const image = op.input("x", [n, mulDims(8, symbol("h"))]);
  expect(peak(op.sum(image, [1]), { n: 2, h: 10 })).toBe(4 * (160 + 2));
  expect(() => peak(op.neg(image), { n: 2 })).toThrow("symbol h is not bound");
});

test("the largest result is found wherever it lies, and parameters do not count", () => {
  const wide = op.concat([x, x, x], 0);
  const y = op.slice(op.neg(wide), 0, 0, 1);
  expect(largestActivationBytes(graphOf({ y }), { n: 100 })).toBe(1200);
  const one = op.add(op.slice(op.param("w", [5000]), 0, 0, 1), op.input("z", [1]));
  expect(largestActivationBytes(graphOf({ one }), {})).toBe(4);
});
