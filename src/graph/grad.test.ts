import { expect, test } from "vitest";
import { linear } from "./composites.js";
import { evaluate } from "./evaluate.js";
import { grad } from "./grad.js";
import * as op from "./ops.js";
import { isOp, topological, type Value } from "./value.js";

const x = op.input("x", [3]);
const total = (v: Value): Value => op.reshape(op.sum(v, [0]), []);
const numbers = (...values: readonly Value[]): number[][] =>
  evaluate(values, {
    inputs: { x: { shape: [3], data: Float64Array.of(1, 2, 3) } },
    params: () => expect.unreachable(),
  }).map(({ data }) => [...data]);

test("what is used twice gets both gradients", () => {
  const square = op.mul(x, x);
  expect(numbers(...grad(total(op.add(square, op.mul(3, x))), [x]))).toEqual([[5, 7, 9]]);
  expect(numbers(...grad(total(op.mul(square, square)), [square, x]))).toEqual([
    [2, 8, 18],
    [4, 32, 108],
  ]);
});

test("each value is visited once, however many ways lead to it", () => {
  let y = op.exp(x);
  for (let i = 0; i < 200; i++) y = op.mul(0.5, op.add(y, y)); // 2^200 ways
  const [dx] = grad(total(y), [x]);
  expect(topological([dx!]).length).toBeLessThan(2000);
  expect(numbers(dx!)[0]![2]).toBeCloseTo(Math.exp(3), 12);
});

test("what the loss does not depend on gets zeros", () => {
  const other = op.input("y", [2, 2]);
  expect(numbers(...grad(total(x), [other, x]))).toEqual([
    [0, 0, 0, 0],
    [1, 1, 1],
  ]);
});

test("no gradient passes detach, indices or conditions", () => {
  expect(numbers(...grad(total(op.mul(x, op.detach(x))), [x]))).toEqual([[1, 2, 3]]);
  expect(numbers(...grad(total(op.where(op.less(x, 2), x, 7)), [x]))).toEqual([[1, 0, 0]]);
});

test("the gradient by the loss itself is 1", () => {
  const loss = total(x);
  expect(numbers(...grad(loss, [loss]))).toEqual([[1]]);
});

test("a loss is a float of one element", () => {
  const message = "grad: expected a loss of one number, got";
  expect(() => grad(x, [x])).toThrow(`${message} float [3]`);
  expect(() => grad(op.less(total(x), 1), [x])).toThrow(`${message} bool []`);
  expect(numbers(...grad(op.reshape(total(x), [1, 1]), [x]))).toEqual([[1, 1, 1]]);
});

test("slices that tile an axis are joined, not padded and added", () => {
  const both = op.mul(2, x);
  const [first, rest] = [op.slice(both, 0, 0, 1), op.slice(both, 0, 1, 2)];
  const [tiled] = grad(total(op.mul(first, rest)), [x]);
  expect(topological([tiled!]).some((v) => isOp(v, "pad"))).toBe(false);
  expect(numbers(tiled!)).toEqual([[20, 4, 4]]);
  const [gapped] = grad(total(op.mul(first, op.slice(both, 0, 2, 1))), [x]);
  expect(numbers(gapped!)).toEqual([[12, 0, 4]]);
});

test("a linear layer's gradients are plain products of matrices", () => {
  const [weight, bias] = [op.param("w", [4, 3]), op.param("b", [4])];
  const tokens = op.input("t", [2, 5, 3]);
  const y = linear(tokens, weight, bias);
  const loss = op.sum(op.mul(y, y), [0, 1, 2]);
  const [dx, dw, db] = grad(loss, [tokens, weight, bias]);
  expect([dx, dw, db].map((v) => v!.shape)).toEqual([[2, 5, 3], [4, 3], [4]]);
  for (const v of topological([dx!, dw!])) {
    if (isOp(v, "matmul")) expect(v.inputs.map((a) => a.shape.length)).toEqual([2, 2]);
  }
  expect(isOp(dw!, "matmul") && dw.attrs).toEqual({ transA: true, transB: false });
});
