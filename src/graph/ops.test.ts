import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as composite from "./composites.js";
import { type Dim, dimProduct, evaluateDim, mulDims, showShape, symbol } from "./dim.js";
import { graphOf, manifest } from "./graph.js";
import * as op from "./ops.js";
import { broadcastShapes } from "./shapes.js";

const [b, h, w] = [symbol("b"), symbol("h"), symbol("w")];
const value = (...shape: Dim[]) => op.input("x", shape);
const int = op.input("i", [3], "int");
const shapeOf = (v: { readonly shape: readonly Dim[] }): string => showShape(v.shape);

describe("what does not fit is told with both shapes", () => {
  const cases: readonly [string, () => unknown, string][] = [
    [
      "broadcast",
      () => op.add(value(b, 3), value(b, 4)),
      "add: shapes [b, 3] and [b, 4] do not broadcast",
    ],
    [
      "broadcast of symbols",
      () => op.mul(value(b, h), value(b, w)),
      "mul: shapes [b, h] and [b, w] do not broadcast",
    ],
    ["types", () => op.add(value(3), int), "add: types float and int differ"],
    ["ints in arithmetic", () => op.mul(int, int), "mul: expected floats, got int"],
    ["a float function of ints", () => op.exp(int), "exp: expected floats, got int"],
    ["condition", () => op.where(value(3), 1, 2), "where: the condition is float"],
    ["constant", () => op.constant([2, 2], [1]), "constant: shape [2,2] with 1 numbers"],
    [
      "reshape",
      () => op.reshape(value(b, 6), [b, 5]),
      "reshape: [b, 6] has another number of elements than [b, 5]",
    ],
    [
      "reshape with a hole",
      () => op.reshape(value(b, 6), [b, 4, -1]),
      "reshape: [b, 6] does not divide into [b, 4, -1]",
    ],
    [
      "reshape with two holes",
      () => op.reshape(value(6), [-1, -1]),
      "reshape: [6] does not divide into [-1, -1]",
    ],
    [
      "transpose",
      () => op.transpose(value(2, 3), [0, 0]),
      "transpose: [0,0] does not permute [2, 3]",
    ],
    ["expand", () => op.expand(value(2, 3), [2, 1]), "expand: [2, 3] does not repeat into [2, 1]"],
    [
      "expand to a lower rank",
      () => op.expand(value(1, 3), [3]),
      "expand: [1, 3] does not repeat into [3]",
    ],
    ["slice", () => op.slice(value(2, 5), 1, 3, 3), "slice: [3, 3 + [3]) of axis 1 of [2, 5]"],
    ["slice of no axis", () => op.slice(value(2), 1, 0, 1), "slice: [2] has no axis 1"],
    ["sum over no axis", () => op.sum(value(2, 3), [2]), "sum: [2, 3] has no axis 2"],
    [
      "sum over no axis from the end",
      () => op.reduceMax(value(2), [-2]),
      "reduceMax: [2] has no axis -2",
    ],
    ["concat of nothing", () => op.concat([], 0), "concat: nothing to join"],
    ["concat on no axis", () => op.concat([value(2)], 1), "concat: [2] has no axis 1"],
    [
      "concat",
      () => op.concat([value(b, 3), value(h, 3)], 1),
      "concat on axis 1: shapes [b, 3], [h, 3] differ",
    ],
    [
      "concat of ranks",
      () => op.concat([value(3), value(3, 1)], 0),
      "concat on axis 0: shapes [3], [3, 1] differ",
    ],
    ["concat of types", () => op.concat([value(3), int], 0), "concat: types float and int differ"],
    ["pad", () => op.pad(value(2, 3), [[0, 1]]), "pad: 1 pairs for [2, 3]"],
    ["gather", () => op.gather(value(5, 2), value(3)), "gather: indices are float"],
    [
      "matmul",
      () => op.matmul(value(b, 2, 3), value(b, 4, 5)),
      "matmul: [b, 2, 3] and [b, 4, 5] do not fit",
    ],
    [
      "matmul transposed",
      () => op.matmul(value(2, 3), value(3, 4), { transB: true }),
      "matmul (transB): [2, 3] and [3, 4] do not fit",
    ],
    ["matmul of vectors", () => op.matmul(value(3), value(3)), "matmul: [3] and [3] need two axes"],
    [
      "matmul of batches",
      () => op.matmul(value(2, 1, 1), value(3, 1, 1)),
      "matmul: shapes [2] and [3] do not broadcast",
    ],
    [
      "matmul with both sides transposed",
      () => op.matmul(value(2, 3), value(3, 4), { transA: true, transB: true }),
      "matmul (transA, transB): [2, 3] and [3, 4] do not fit",
    ],
    [
      "scatterRows",
      () => op.scatterRows(value(4, 2), int, 5),
      "scatterRows: rows [4, 2] at indices [3]",
    ],
    [
      "conv2dInputGrad",
      () => op.conv2dInputGrad(value(1, 8, 4, 4), value(8, 3, 3, 3), [1, 3, 4, 4]),
      "conv2dInputGrad dy: expected [1, 8, 2, 2], got [1, 8, 4, 4]",
    ],
    [
      "conv2dWeightGrad",
      () => op.conv2dWeightGrad(value(1, 3, 4, 4), value(1, 8, 4, 4), [3, 3]),
      "conv2dWeightGrad dy: expected [1, 8, 2, 2], got [1, 8, 4, 4]",
    ],
    ["sumPool", () => op.sumPool(value(b, 3, 4, 5), 2), "sumPool: [b, 3, 4, 5] in cells of 2 x 2"],
    [
      "conv2d channels",
      () => op.conv2d(value(b, 4, h, w), value(8, 3, 3, 3), undefined),
      "conv2d: input [b, 4, h, w], weight [8, 3, 3, 3]: channels differ",
    ],
    [
      "conv2d rank",
      () => op.conv2d(value(4, h, w), value(8, 3, 3, 3), undefined),
      "conv2d: input [4, h, w], weight [8, 3, 3, 3]: expected [B,C,H,W] and [O,C,kh,kw]",
    ],
    [
      "conv2d kernel",
      () => op.conv2d(value(b, 3, h, w), value(8, 3, h, 3), undefined),
      "conv2d: input [b, 3, h, w], weight [8, 3, h, 3]: kernel must be known",
    ],
    [
      "conv2d bias",
      () => op.conv2d(value(b, 3, h, w), value(8, 3, 3, 3), value(7)),
      "conv2d bias: expected [8], got [7]",
    ],
    [
      "resizeNearest",
      () => op.resizeNearest(value(3, h, w), h, w),
      "resizeNearest: expected [B,C,H,W], got [3, h, w]",
    ],
    [
      "groupNorm",
      () => composite.groupNorm(value(b, 6, h), value(6), value(6), { groups: 4, eps: 0 }),
      "groupNorm: 6 channels in 4 groups",
    ],
    [
      "attention heads",
      () =>
        composite.attention(value(b, h, 10), value(b, h, 10), value(b, h, 10), {
          heads: 4,
          scale: 1,
          causal: false,
        }),
      "attention: 10 channels in 4 heads",
    ],
    [
      "attention keys",
      () =>
        composite.attention(value(b, h, 8), value(b, w, 6), value(b, w, 8), {
          heads: 2,
          scale: 1,
          causal: false,
        }),
      "attention keys: expected [b, w, 8], got [b, w, 6]",
    ],
    [
      "causal attention",
      () =>
        composite.attention(value(b, h, 8), value(b, h, 8), value(b, h, 8), {
          heads: 2,
          scale: 1,
          causal: true,
        }),
      "causal attention needs known lengths, got [h, h]",
    ],
  ];
  test.each(cases)("%s", (_, build, message) => {
    expect(build).toThrow(new Error(`internal: ${message}`));
  });
});

describe("shapes of results", () => {
  test("of primitives over symbols", () => {
    const x = value(b, 4, h, w);
    expect(shapeOf(op.add(x, value(4, 1, 1)))).toBe("[b, 4, h, w]");
    expect(shapeOf(op.add(value(1), value(b, 1)))).toBe("[b, 1]");
    expect(shapeOf(op.sum(x, [-1, 1]))).toBe("[b, 1, h, 1]");
    expect(shapeOf(op.reshape(x, [b, 4, -1]))).toBe("[b, 4, h*w]");
    expect(shapeOf(op.concat([x, value(b, 3, h, w)], 1))).toBe("[b, 7, h, w]");
    expect(shapeOf(op.concat([x, x], -1))).toBe("[b, 4, h, 2*w]");
    expect(
      shapeOf(
        op.pad(x, [
          [0, 0],
          [0, 0],
          [0, 1],
          [2, 0],
        ]),
      ),
    ).toBe("[b, 4, h + 1, w + 2]");
    expect(shapeOf(op.conv2d(x, value(8, 4, 3, 3), undefined, { padding: 1 }))).toBe(
      "[b, 8, h, w]",
    );
    const half = op.conv2d(x, value(8, 4, 3, 3), undefined, { stride: 2, padding: 1 });
    expect(evaluateDim(half.shape[2]!, { h: 7 })).toBe(4);
    expect(shapeOf(op.gather(value(9, 5), op.input("i", [b, 7], "int")))).toBe("[b, 7, 5]");
    expect(shapeOf(op.matmul(value(b, 1, h, 3), value(4, w, 3), { transB: true }))).toBe(
      "[b, 4, h, w]",
    );
    expect(op.less(x, 1).type).toBe("bool");
    expect(shapeOf(op.transpose(x, [2, 0, 3, 1]))).toBe("[h, b, w, 4]");
  });

  const side = fc.integer({ min: 1, max: 5 });

  test("broadcasting is NumPy's: commutative, and ones give way", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(side, fc.nat(2)), { maxLength: 5 }),
        fc.nat(5),
        (sides, cut) => {
          const whole = sides.map(([d]) => d);
          const a = sides.map(([d, k]) => (k === 1 ? 1 : d)).slice(Math.min(cut, sides.length));
          const c = sides.map(([d, k]) => (k === 2 ? 1 : d));
          const expected = whole.map((_, i) => {
            const left = i - (whole.length - a.length);
            return Math.max(left < 0 ? 1 : a[left]!, c[i]!);
          });
          expect(broadcastShapes("op", a, c)).toEqual(expected);
          expect(broadcastShapes("op", c, a)).toEqual(expected);
        },
      ),
    );
  });

  test("a hole in a reshape is what is left of the elements", () => {
    fc.assert(
      fc.property(fc.array(side, { minLength: 1, maxLength: 5 }), fc.nat(), (sides, k) => {
        const at = k % sides.length;
        const holed: Dim[] = sides.map((d, i) => (i === at ? -1 : d));
        const flat = value(dimProduct(sides));
        expect(op.reshape(flat, holed).shape).toEqual(sides);
        const symbolic = value(mulDims(dimProduct(sides), h));
        expect(op.reshape(symbolic, holed).shape[at]).toEqual(mulDims(sides[at]!, h));
      }),
    );
  });

  test("a convolution takes as many places as its kernel finds", () => {
    const size = fc.integer({ min: 3, max: 20 });
    fc.assert(
      fc.property(size, side, side, fc.nat(2), (n, kernel, stride, pad) => {
        fc.pre(n + 2 * pad >= kernel);
        let places = 0;
        for (let at = -pad; at + kernel <= n + pad; at += stride) places++;
        const y = op.conv2d(value(1, 1, h, n), value(1, 1, kernel, kernel), undefined, {
          stride,
          padding: pad,
        });
        expect(y.shape[3]).toBe(places);
        expect(evaluateDim(y.shape[2]!, { h: n })).toBe(places);
      }),
    );
  });
});

describe("a graph", () => {
  test("collects inputs and weights once, and only what is used", () => {
    const p = op.param("w", [2]);
    const x = value(2);
    op.add(x, op.param("unused", [2]));
    const graph = graphOf({ y: op.add(op.mul(x, p), p), z: composite.silu(x) });
    expect([...graph.inputs.keys()]).toEqual(["x"]);
    expect([...manifest(graph)]).toEqual([["w", [2]]]);
  });

  test("refuses two values under one name", () => {
    expect(() => graphOf({ y: op.add(op.param("w", [2]), op.param("w", [2])) })).toThrow(
      'two values are named "w"',
    );
    expect(() => graphOf({ y: op.add(value(2), value(2)) })).toThrow('two values are named "x"');
  });
});
