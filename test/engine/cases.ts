import * as composite from "../../src/graph/composites.js";
import { addDims, type Dim, floorDivDim, mulDims, symbol } from "../../src/graph/dim.js";
import * as op from "../../src/graph/ops.js";
import type { Value } from "../../src/graph/value.js";
import { mergeTokens } from "../../src/models/unet/mergeTokens.js";
import { toTokens } from "../../src/nn/attention.js";

/*
 * Every primitive and every composition at tiny shapes: what each device must answer as the float64
 * evaluator does. Inputs are named x, y, z; symbols are bound by what is fed.
 */

/** One graph and the sizes of its inputs. */
export interface EngineCase {
  readonly name: string;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  readonly output: Value;
  /** Inputs are drawn from [low, high); [-2, 2) by default. */
  readonly range?: readonly [number, number];
}

const [b, h, w] = [symbol("b"), symbol("h"), symbol("w")];
const x4 = op.input("x", [b, 8, h, w]);
const tokens = op.input("x", [b, h, 8]);

const unary = (
  name: string,
  f: (x: Value) => Value,
  range?: readonly [number, number],
): EngineCase => ({
  name,
  shapes: { x: [2, 8, 3, 5] },
  output: f(x4),
  ...(range ? { range } : {}),
});

const binary = (name: string, f: (x: Value, y: Value) => Value): EngineCase => ({
  name,
  shapes: { x: [2, 8, 3, 5], y: [8, 1, 1] },
  output: f(x4, op.input("y", [8, 1, 1])),
});

const asFloat = (condition: Value): Value => op.where(condition, 1, 0);

const conv = (
  name: string,
  x: readonly [number, number, number, number],
  weight: readonly [number, number, number, number],
  options: op.Conv2dOptions,
): EngineCase => ({
  name,
  shapes: { x, y: weight, z: [weight[0]] },
  output: op.conv2d(
    op.input("x", [b, x[1], h, w]),
    op.input("y", weight),
    op.input("z", [weight[0]]),
    options,
  ),
});

/** Both gradients of a convolution, side by side. */
const convGrads = (
  name: string,
  shape: readonly [number, number, number, number],
  kernel: readonly [number, number, number, number],
  options: op.Conv2dOptions,
): EngineCase => {
  const [x, weight] = [op.input("x", shape), op.input("y", kernel)];
  const dy = op.input("z", op.conv2d(x, weight, undefined, options).shape);
  const dx = op.conv2dInputGrad(dy, weight, shape, options);
  const dw = op.conv2dWeightGrad(x, dy, [kernel[2], kernel[3]], options);
  return {
    name: `gradients of conv2d ${name}`,
    shapes: { x: shape, y: kernel, z: dy.shape as number[] },
    output: op.concat([op.reshape(dx, [-1]), op.reshape(dw, [-1])], 0),
  };
};

const resize = (name: string, to: (d: Dim) => Dim): EngineCase => ({
  name,
  shapes: { x: [1, 2, 3, 5] },
  output: op.resizeNearest(op.input("x", [b, 2, h, w]), to(h), to(w)),
});

export const ENGINE_CASES: readonly EngineCase[] = [
  unary("neg", op.neg),
  unary("abs", op.abs),
  unary("exp", op.exp),
  unary("log", op.log, [0.1, 4]),
  unary("sqrt", op.sqrt, [0.1, 4]),
  unary("sin", op.sin),
  unary("cos", op.cos),
  unary("sin of large angles", op.sin, [-1000, 1000]),
  unary("cos of large angles", op.cos, [-1000, 1000]),
  unary("tanh", op.tanh),
  unary("sigmoid", op.sigmoid),
  unary("erf", op.erf),
  binary("add", op.add),
  binary("sub", op.sub),
  binary("mul", op.mul),
  binary("div", (x, y) => op.div(x, op.add(op.abs(y), 1))),
  binary("max", op.max),
  binary("min", op.min),
  binary("less and where", (x, y) => op.where(op.less(x, y), x, 2)),
  binary("equal", (x, y) => asFloat(op.equal(op.max(x, y), x))),
  unary("sum", (x) => op.sum(x, [1, 3])),
  unary("reduceMax", (x) => op.reduceMax(x, [-1])),
  unary("reshape to known sizes", (x) => op.reshape(x, [b, 2, 4, mulDims(h, w)])),
  unary("reshape to two unknown sizes", (x) =>
    op.reshape(op.reshape(x, [mulDims(b, h), 8, w]), [b, h, mulDims(8, w)]),
  ),
  unary("transpose", (x) => op.transpose(x, [0, 2, 3, 1])),
  unary("expand", (x) => op.expand(op.sum(x, [1]), [b, 3, h, w])),
  unary("slice of a known axis", (x) => op.slice(x, 1, 2, 4)),
  unary("slice of an unknown axis", (x) => op.slice(x, 3, 1, addDims(w, -2))),
  unary("concat", (x) => op.concat([x, op.neg(x)], 1)),
  unary("pad", (x) =>
    op.pad(x, [
      [0, 0],
      [1, 0],
      [0, 2],
      [1, 1],
    ]),
  ),
  {
    name: "matmul",
    shapes: { x: [2, 5, 8], y: [2, 8, 3] },
    output: op.matmul(tokens, op.input("y", [b, 8, w])),
  },
  {
    name: "matmul with a transposed right side",
    shapes: { x: [2, 5, 8], y: [2, 3, 8] },
    output: op.matmul(tokens, op.input("y", [b, w, 8]), { transB: true }),
  },
  conv("conv2d 3x3", [2, 8, 6, 5], [16, 8, 3, 3], { padding: 1 }),
  conv("conv2d 1x1", [2, 8, 3, 5], [4, 8, 1, 1], {}),
  conv("conv2d with stride 2", [1, 8, 6, 7], [16, 8, 3, 3], { stride: 2, padding: 1 }),
  conv("conv2d padded on two sides", [1, 3, 8, 6], [4, 3, 3, 3], {
    stride: 2,
    padding: [0, 0, 1, 1],
  }),
  conv("conv2d over many channels", [1, 64, 9, 9], [32, 64, 3, 3], { padding: 1 }),
  {
    name: "matmul with a transposed left side",
    shapes: { x: [2, 8, 5], y: [2, 8, 3] },
    output: op.matmul(op.input("x", [b, 8, h]), op.input("y", [b, 8, w]), { transA: true }),
  },
  {
    name: "matmul with both sides transposed",
    shapes: { x: [8, 5], y: [3, 8] },
    output: op.matmul(op.input("x", [8, h]), op.input("y", [w, 8]), { transA: true, transB: true }),
  },
  {
    name: "gather",
    shapes: { x: [5, 3, 2] },
    output: op.gather(op.input("x", [5, 3, 2]), op.constant([2, 2], [4, 0, 1, 4], "int")),
  },
  {
    name: "scatterRows",
    shapes: { x: [2, 3, 4, 2] },
    output: op.scatterRows(
      op.input("x", [2, 3, 4, 2]),
      op.constant([2, 3], [6, 0, 3, 3, 6, 3], "int"),
      7,
    ),
  },
  convGrads("3x3", [2, 8, 6, 5], [16, 8, 3, 3], { padding: 1 }),
  convGrads("1x1", [2, 8, 3, 5], [4, 8, 1, 1], {}),
  convGrads("with stride 2", [2, 8, 6, 7], [16, 8, 3, 3], { stride: 2, padding: 1 }),
  convGrads("padded on two sides", [1, 3, 8, 6], [4, 3, 3, 3], {
    stride: 2,
    padding: [0, 0, 1, 1],
  }),
  convGrads("with stride 3 that leaves pixels out", [2, 3, 9, 10], [4, 3, 2, 3], { stride: 3 }),
  {
    name: "sumPool",
    shapes: { x: [2, 3, 6, 4] },
    output: op.sumPool(op.input("x", [b, 3, mulDims(2, h), mulDims(2, w)]), 2),
  },
  unary("detach", (x) => op.neg(op.detach(x))),
  resize("resizeNearest to twice the size", (d) => mulDims(2, d)),
  resize("resizeNearest to an odd size", (d) => addDims(mulDims(2, d), -1)),
  resize("resizeNearest to half the size", (d) => floorDivDim(addDims(d, 1), 2)),
  unary("softmax", composite.softmax),
  unary("silu", composite.silu),
  unary("gelu", composite.gelu),
  unary("quickGelu", composite.quickGelu),
  {
    name: "linear",
    shapes: { x: [2, 5, 8], y: [6, 8], z: [6] },
    output: composite.linear(tokens, op.input("y", [6, 8]), op.input("z", [6])),
  },
  {
    name: "linear without bias, of a matrix",
    shapes: { x: [5, 8], y: [6, 8] },
    output: composite.linear(op.input("x", [h, 8]), op.input("y", [6, 8])),
  },
  {
    name: "layerNorm",
    shapes: { x: [2, 5, 8], y: [8], z: [8] },
    output: composite.layerNorm(tokens, op.input("y", [8]), op.input("z", [8]), 1e-5),
  },
  {
    name: "groupNorm",
    shapes: { x: [2, 8, 3, 5], y: [8], z: [8] },
    output: composite.groupNorm(x4, op.input("y", [8]), op.input("z", [8]), {
      groups: 4,
      eps: 1e-5,
    }),
  },
  {
    name: "attention",
    shapes: { x: [2, 5, 8], y: [2, 3, 8], z: [2, 3, 8] },
    output: composite.attention(tokens, op.input("y", [b, w, 8]), op.input("z", [b, w, 8]), {
      heads: 2,
      scale: 0.5,
      causal: false,
    }),
  },
  {
    name: "attention of one wide head over many tokens",
    shapes: { x: [1, 90, 64], y: [1, 70, 64], z: [1, 70, 64] },
    output: composite.attention(
      op.input("x", [b, h, 64]),
      op.input("y", [b, w, 64]),
      op.input("z", [b, w, 64]),
      { heads: 1, scale: 0.125, causal: false },
    ),
  },
  {
    name: "causal attention",
    shapes: { x: [2, 7, 8], y: [2, 7, 8], z: [2, 7, 8] },
    output: composite.attention(
      op.input("x", [b, 7, 8]),
      op.input("y", [b, 7, 8]),
      op.input("z", [b, 7, 8]),
      { heads: 2, scale: 0.5, causal: true },
    ),
  },
  {
    name: "tokens merged in squares that do not fit",
    shapes: { x: [2, 8, 5, 8] },
    output: mergeTokens(toTokens(x4), x4, 2),
  },
];
