import { addDims, type Dim } from "../graph/dim.js";
import type { Builder } from "./builder.js";
import type { LoweringRules, Rule } from "./rules.js";

/*
 * Rows that hold on every device: one standard ONNX operator a primitive, opset 21.
 */

const direct =
  (opType: string) =>
  (b: Builder, inputs: readonly string[]): string =>
    b.node(opType, inputs);

/** Reductions take their axes as an input. */
const reduction =
  (opType: string): Rule<"sum" | "reduceMax"> =>
  (b, [x], v) =>
    b.node(opType, [x!, b.int64(v.attrs.axes)], { keepdims: 1 });

const slice: Rule<"slice"> = (b, [x], v) => {
  const { axis, start } = v.attrs;
  const end: Dim = addDims(v.shape[axis]!, start);
  return b.node("Slice", [x!, b.int64([start]), b.shape([end]), b.int64([axis])]);
};

const conv2d: Rule<"conv2d"> = (b, inputs, v) => {
  const { stride, padding } = v.attrs;
  return b.node("Conv", inputs, {
    kernel_shape: v.inputs[1]!.shape.slice(2) as number[],
    strides: [stride, stride],
    pads: padding,
  });
};

const matmul: Rule<"matmul"> = (b, [x, y], v) => {
  if (!v.attrs.transB) return b.node("MatMul", [x!, y!]);
  const rank = v.inputs[1]!.shape.length;
  const perm = Array.from({ length: rank }, (_, i) => i);
  perm.splice(rank - 2, 2, rank - 1, rank - 2);
  return b.node("MatMul", [x!, b.node("Transpose", [y!], { perm })]);
};

/** Rounding down matches torch: pixel i comes from floor(i * H / H'). */
const resizeNearest: Rule<"resizeNearest"> = (b, [x], v) =>
  b.node("Resize", [x!, "", "", b.shape(v.shape)], {
    mode: "nearest",
    coordinate_transformation_mode: "asymmetric",
    nearest_mode: "floor",
  });

export const STANDARD_PRIMITIVES: LoweringRules["primitives"] = {
  constant: (b, _, v) => b.floats(v.shape as number[], v.attrs.data),
  neg: direct("Neg"),
  abs: direct("Abs"),
  exp: direct("Exp"),
  log: direct("Log"),
  sqrt: direct("Sqrt"),
  sin: direct("Sin"),
  cos: direct("Cos"),
  tanh: direct("Tanh"),
  sigmoid: direct("Sigmoid"),
  erf: direct("Erf"),
  add: direct("Add"),
  sub: direct("Sub"),
  mul: direct("Mul"),
  div: direct("Div"),
  max: direct("Max"),
  min: direct("Min"),
  equal: direct("Equal"),
  less: direct("Less"),
  where: direct("Where"),
  sum: reduction("ReduceSum"),
  reduceMax: reduction("ReduceMax"),
  reshape: (b, [x], v) => b.reshape(x!, v.inputs[0]!.shape, v.shape),
  transpose: (b, [x], v) => b.node("Transpose", [x!], { perm: v.attrs.perm }),
  expand: (b, [x], v) => b.node("Expand", [x!, b.shape(v.shape)]),
  slice,
  concat: (b, inputs, v) => b.node("Concat", inputs, { axis: v.attrs.axis }),
  pad: (b, [x], v) => {
    const { pads } = v.attrs;
    return b.node("Pad", [x!, b.int64([...pads.map((p) => p[0]), ...pads.map((p) => p[1])])]);
  },
  gather: direct("Gather"),
  matmul,
  conv2d,
  resizeNearest,
};
