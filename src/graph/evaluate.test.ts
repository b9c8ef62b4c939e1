import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { addDims, mulDims, symbol } from "./dim.js";
import { type Array64, erf, evaluate } from "./evaluate.js";
import * as op from "./ops.js";
import type { Value } from "./value.js";

const array = (shape: readonly number[], data: readonly number[]): Array64 => ({
  shape,
  data: Float64Array.from(data),
});
const range = (n: number, from = 0): number[] => Array.from({ length: n }, (_, i) => from + i);
const noWeights = (name: string): never => {
  throw new Error(`no weight ${name}`);
};

/** Evaluates a function of inputs of these shapes and numbers. */
function result(f: (...xs: Value[]) => Value, ...fed: readonly Array64[]): Array64 {
  const inputs = Object.fromEntries(fed.map((a, i) => [`x${i}`, a]));
  const values = fed.map((a, i) => op.input(`x${i}`, a.shape));
  return evaluate([f(...values)], { inputs, params: noWeights })[0]!;
}
const numbers = (a: Array64): number[] => [...a.data];

test.each([
  [1e-8, 1.1283791670955126e-8],
  [0.1, 0.1124629160182849],
  [0.5, 0.5204998778130465],
  [1, 0.8427007929497149],
  [1.5, 0.9661051464753108],
  [2, 0.9953222650189527],
  [2.4, 0.999311486103355],
  [2.499, 0.9995908642442554],
  [2.5, 0.999593047982555],
  [2.51, 0.9996142945182758],
  [3, 0.9999779095030014],
  [4, 0.9999999845827421],
  [5, 0.9999999999984626],
  [30, 1],
  [Number.POSITIVE_INFINITY, 1],
  [0, 0],
])("erf(%f) to 1e-15", (x, expected) => {
  expect(Math.abs(erf(x) - expected)).toBeLessThanOrEqual(1e-15 * expected);
  expect(erf(-x) + erf(x)).toBe(0);
});

describe("elementwise primitives are their definitions", () => {
  const xs = [-2.5, -1, -0.25, 0.5, 1, 3];
  const unary: readonly [string, (x: Value) => Value, (x: number) => number][] = [
    ["neg", op.neg, (x) => 0 - x],
    ["abs", op.abs, (x) => Math.sqrt(x * x)],
    ["exp", op.exp, (x) => Math.E ** x],
    ["sin", op.sin, (x) => Math.cos(x - Math.PI / 2)],
    ["cos", op.cos, (x) => 1 - 2 * Math.sin(x / 2) ** 2],
    ["tanh", op.tanh, (x) => 1 - 2 / (Math.E ** (2 * x) + 1)],
    ["sigmoid", op.sigmoid, (x) => 0.5 + 0.5 * Math.tanh(x / 2)],
    ["log of exp", (x) => op.log(op.exp(x)), (x) => x],
    ["sqrt of a square", (x) => op.sqrt(op.mul(x, x)), Math.abs],
  ];
  test.each(unary)("%s", (_, f, definition) => {
    const got = numbers(result(f, array([6], xs)));
    for (const [i, y] of got.entries()) expect(y).toBeCloseTo(definition(xs[i]!), 14);
  });

  const ys = [2, -1, 4, 0.5, -3, 1];
  const binary: readonly [string, (x: Value, y: Value) => Value, readonly number[]][] = [
    ["add", op.add, [-0.5, -2, 3.75, 1, -2, 4]],
    ["sub", op.sub, [-4.5, 0, -4.25, 0, 4, 2]],
    ["mul", op.mul, [-5, 1, -1, 0.25, -3, 3]],
    ["div", op.div, [-1.25, 1, -0.0625, 1, -1 / 3, 3]],
    ["max", op.max, [2, -1, 4, 0.5, 1, 3]],
    ["min", op.min, [-2.5, -1, -0.25, 0.5, -3, 1]],
    ["equal", op.equal, [0, 1, 0, 1, 0, 0]],
    ["less", op.less, [1, 0, 1, 0, 0, 0]],
    ["where", (x, y) => op.where(op.less(x, y), 10, x), [10, -1, 10, 0.5, 1, 3]],
  ];
  test.each(binary)("%s", (_, f, expected) => {
    expect(numbers(result(f, array([6], xs), array([6], ys)))).toEqual(expected);
  });

  test("broadcast: b and c over a, in every position of ones", () => {
    const sum = (a: Value, c: Value) => op.add(op.mul(a, 10), c);
    const column = array([2, 1], [1, 2]);
    expect(numbers(result(sum, column, array([3], [1, 2, 3])))).toEqual([11, 12, 13, 21, 22, 23]);
    expect(numbers(result(sum, array([], [5]), column))).toEqual([51, 52]);
    const cube = array([2, 1, 2], [1, 2, 3, 4]);
    expect(numbers(result(sum, cube, array([2, 1], [0, 1])))).toEqual([
      10, 20, 11, 21, 30, 40, 31, 41,
    ]);
  });
});

describe("primitives that move numbers", () => {
  const x = array([2, 3], range(6));

  test("reductions keep axes", () => {
    expect(result((v) => op.sum(v, [0]), x)).toEqual(array([1, 3], [3, 5, 7]));
    expect(result((v) => op.sum(v, [-1]), x)).toEqual(array([2, 1], [3, 12]));
    expect(result((v) => op.sum(v, [0, 1]), x)).toEqual(array([1, 1], [15]));
    expect(result((v) => op.reduceMax(op.neg(v), [1]), x)).toEqual(array([2, 1], [-0, -3]));
  });

  test("transpose and its inverse", () => {
    expect(result((v) => op.transpose(v, [1, 0]), x)).toEqual(array([3, 2], [0, 3, 1, 4, 2, 5]));
    const cube = array([2, 3, 4], range(24));
    const turned = result((v) => op.transpose(v, [2, 0, 1]), cube);
    expect(turned.shape).toEqual([4, 2, 3]);
    expect(turned.data[(1 * 2 + 1) * 3 + 2]).toBe((1 * 3 + 2) * 4 + 1);
    expect(result((v) => op.transpose(op.transpose(v, [2, 0, 1]), [1, 2, 0]), cube)).toEqual(cube);
  });

  test("slice, concat and pad undo one another", () => {
    const both = result((v) => op.concat([op.slice(v, 1, 0, 1), op.slice(v, 1, 1, 2)], 1), x);
    expect(both).toEqual(x);
    const padded = result(
      (v) =>
        op.pad(v, [
          [1, 0],
          [0, 2],
        ]),
      x,
    );
    expect(padded).toEqual(array([3, 5], [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 5, 0, 0]));
    expect(result((v) => op.slice(v, 0, 1, 1), x)).toEqual(array([1, 3], [3, 4, 5]));
    expect(result((v) => op.concat([v, v], -2), x).data).toEqual(
      Float64Array.from([...range(6), ...range(6)]),
    );
  });

  test("expand, reshape, gather", () => {
    expect(result((v) => op.expand(v, [2, 2]), array([2, 1], [7, 8]))).toEqual(
      array([2, 2], [7, 7, 8, 8]),
    );
    expect(result((v) => op.reshape(v, [3, -1]), x)).toEqual(array([3, 2], range(6)));
    const index = op.constant([2], [1, 0], "int");
    expect(result((v) => op.gather(v, index), x)).toEqual(array([2, 3], [3, 4, 5, 0, 1, 2]));
  });

  test("resizeNearest takes pixel floor(i * H / H')", () => {
    const row = array([1, 1, 1, 3], [1, 2, 3]);
    const to = (n: number) => numbers(result((v) => op.resizeNearest(v, 1, n), row));
    expect(to(6)).toEqual([1, 1, 2, 2, 3, 3]);
    expect(to(5)).toEqual([1, 1, 2, 2, 3]);
    expect(to(2)).toEqual([1, 2]);
    const square = array([1, 1, 2, 2], [1, 2, 3, 4]);
    expect(numbers(result((v) => op.resizeNearest(v, 4, 2), square))).toEqual([
      1, 2, 1, 2, 3, 4, 3, 4,
    ]);
  });
});

describe("products", () => {
  test("matmul, plain, transposed and broadcast over batches", () => {
    const a = array([2, 2], [1, 2, 3, 4]);
    const c = array([2, 2], [5, 6, 7, 8]);
    const plain = (x: Value, y: Value) => op.matmul(x, y);
    const transposed = (x: Value, y: Value) => op.matmul(x, y, { transB: true });
    expect(numbers(result(plain, a, c))).toEqual([19, 22, 43, 50]);
    expect(numbers(result(transposed, a, c))).toEqual([17, 23, 39, 53]);
    const batch = array([2, 1, 2], [1, 0, 0, 1]);
    expect(result(plain, batch, c)).toEqual(array([2, 1, 2], [5, 6, 7, 8]));
    expect(result(plain, c, array([3, 2, 1], [1, 0, 0, 1, 1, 1])).data).toEqual(
      Float64Array.from([5, 7, 6, 8, 11, 15]),
    );
  });

  test("conv2d of a delta gives the kernel, turned; sums give sums", () => {
    const delta = array([1, 1, 3, 3], [0, 0, 0, 0, 1, 0, 0, 0, 0]);
    const kernel = array([1, 1, 3, 3], range(9, 1));
    const same = (x: Value, k: Value) => op.conv2d(x, k, undefined, { padding: 1 });
    expect(numbers(result(same, delta, kernel))).toEqual(range(9, 1).reverse());
    const ones = array([1, 2, 4, 4], Array(32).fill(1));
    const weight = array([2, 2, 3, 3], [...Array(18).fill(1), ...Array(18).fill(2)]);
    const bias = array([2], [0.5, -1]);
    const strided = (x: Value, k: Value, c: Value) => op.conv2d(x, k, c, { stride: 2, padding: 1 });
    // Corners see 2x2 of each channel, edges 2x3, the middle 3x3.
    expect(numbers(result(strided, ones, weight, bias))).toEqual([
      8.5, 12.5, 12.5, 18.5, 15, 23, 23, 35,
    ]);
    const lower = (x: Value, k: Value) =>
      op.conv2d(x, k, undefined, { stride: 2, padding: [0, 0, 1, 1] });
    const corner = array([1, 1, 2, 2], [1, 10, 100, 1000]);
    expect(numbers(result(lower, corner, array([1, 1, 3, 3], range(9, 1))))).toEqual([5421]);
  });

  test("conv2d pads top, left, bottom and right", () => {
    const x = array([1, 1, 2, 2], [1, 2, 3, 4]);
    const one = array([1, 1, 1, 1], [1]);
    const padded = (padding: readonly [number, number, number, number]) => {
      const { shape, data } = result((v, k) => op.conv2d(v, k, undefined, { padding }), x, one);
      return [shape.slice(2), [...data]];
    };
    expect(padded([1, 0, 0, 0])).toEqual([
      [3, 2],
      [0, 0, 1, 2, 3, 4],
    ]);
    expect(padded([0, 1, 0, 0])).toEqual([
      [2, 3],
      [0, 1, 2, 0, 3, 4],
    ]);
    expect(padded([0, 0, 1, 0])).toEqual([
      [3, 2],
      [1, 2, 3, 4, 0, 0],
    ]);
    expect(padded([0, 0, 0, 1])).toEqual([
      [2, 3],
      [1, 2, 0, 3, 4, 0],
    ]);
  });

  test("conv2d with 1x1 kernels is a product over channels", () => {
    const number = fc.double({ min: -4, max: 4, noNaN: true });
    const array12 = fc.array(number, { minLength: 12, maxLength: 12 });
    fc.assert(
      fc.property(array12, fc.array(number, { minLength: 6, maxLength: 6 }), (x, k) => {
        const conv = result(
          (v, u) => op.conv2d(v, u, undefined),
          array([1, 3, 2, 2], x),
          array([2, 3, 1, 1], k),
        );
        const product = result((u, v) => op.matmul(u, v), array([2, 3], k), array([3, 4], x));
        expect([...conv.data]).toEqual([...product.data]);
      }),
      { numRuns: 50 },
    );
  });
});

describe("symbols and names", () => {
  const [b, h] = [symbol("b"), symbol("h")];

  test("symbols are bound by what is fed, for each evaluation anew", () => {
    const x = op.input("x", [b, h]);
    const flat = op.reshape(
      op.pad(x, [
        [0, 0],
        [0, 1],
      ]),
      [mulDims(b, addDims(h, 1))],
    );
    for (const [rows, columns] of [
      [1, 2],
      [3, 4],
    ] as const) {
      const fed = { x: array([rows, columns], range(rows * columns)) };
      const [y] = evaluate([flat], { inputs: fed, params: noWeights });
      expect(y!.shape).toEqual([rows * (columns + 1)]);
    }
  });

  test("what is missing or misshapen is named", () => {
    const x = op.input("x", [b, 2]);
    const run = (inputs: Record<string, Array64>) => () =>
      evaluate([x], { inputs, params: noWeights });
    expect(run({})).toThrow('evaluate: input "x" is missing');
    expect(run({ x: array([1, 3], [1, 2, 3]) })).toThrow('input "x" is [1,3], expected [b, 2]');
    expect(() => evaluate([op.param("w", [1])], { inputs: {}, params: noWeights })).toThrow(
      "no weight w",
    );
  });
});
