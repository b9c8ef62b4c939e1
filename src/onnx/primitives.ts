import { addDims, type Dim, dimProduct, mulDims, showShape } from "../graph/dim.js";
import type { Value } from "../graph/value.js";
import { invariant } from "../util/errors.js";
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

/** What ConvTranspose must add below and to the right, where a stride left pixels out. */
const conv2dInputGrad: Rule<"conv2dInputGrad"> = (b, inputs, v) => {
  const { stride, padding } = v.attrs;
  const [top, left, bottom, right] = padding;
  const dy = v.inputs[0]!.shape;
  const kernel = v.inputs[1]!.shape.slice(2) as number[];
  const missing = (axis: number, pad: number): Dim =>
    addDims(addDims(v.shape[axis]!, stride + pad - kernel[axis - 2]!), mulDims(-stride, dy[axis]!));
  return b.node("ConvTranspose", inputs, {
    kernel_shape: kernel,
    strides: [stride, stride],
    pads: padding,
    output_padding: known("conv2dInputGrad", [missing(2, top + bottom), missing(3, left + right)]),
  });
};

/** A convolution whose batch is the channels, with dy as its kernel: [C,O,kh,kw] and a rest. */
const conv2dWeightGrad: Rule<"conv2dWeightGrad"> = (b, [x, dy], v) => {
  const { stride, padding } = v.attrs;
  const perm = [1, 0, 2, 3];
  const turn = (name: string): string => b.node("Transpose", [name], { perm });
  const wide = b.node("Conv", [turn(x!), turn(dy!)], {
    kernel_shape: known("conv2dWeightGrad", v.inputs[1]!.shape.slice(2)),
    dilations: [stride, stride],
    pads: padding,
  });
  const kernel = v.shape.slice(2) as number[];
  return turn(b.node("Slice", [wide, b.int64([0, 0]), b.int64(kernel), b.int64([2, 3])]));
};

/** Attributes must be numbers, as all sizes of a training graph are. */
function known(who: string, dims: readonly Dim[]): readonly number[] {
  invariant(
    dims.every((d) => typeof d === "number"),
    `${who} needs known sizes, got ${showShape(dims)}`,
  );
  return dims as readonly number[];
}

const matmul: Rule<"matmul"> = (b, [x, y], v) => {
  const turned = (name: string, turn: boolean, rank: number): string => {
    if (!turn) return name;
    const perm = Array.from({ length: rank }, (_, i) => i);
    perm.splice(rank - 2, 2, rank - 1, rank - 2);
    return b.node("Transpose", [name], { perm });
  };
  const [left, right] = v.inputs as readonly [Value, Value];
  return b.node("MatMul", [
    turned(x!, v.attrs.transA, left.shape.length),
    turned(y!, v.attrs.transB, right.shape.length),
  ]);
};

/** Element by element: its indices may be int32, as WebGPU wants them. */
const scatterRows: Rule<"scatterRows"> = (b, [rows, indices], v) => {
  const [from, at] = v.inputs as readonly [Value, Value];
  const count = dimProduct(at.shape);
  const matrix = [count, dimProduct(v.shape.slice(1))];
  const flat = b.reshape(rows!, from.shape, matrix);
  const column = b.reshape(indices!, at.shape, [count, 1]);
  const zeros = b.node("Expand", [b.floats([1, 1], [0]), b.shape([v.shape[0]!, matrix[1]!])]);
  const each = b.node("Expand", [column, b.shape(matrix)]);
  const table = b.node("ScatterElements", [zeros, each, flat], { axis: 0, reduction: "add" });
  return b.reshape(table, [v.shape[0]!, matrix[1]!], v.shape);
};

/** Rounding down matches torch: pixel i comes from floor(i * H / H'). */
const resizeNearest: Rule<"resizeNearest"> = (b, [x], v) =>
  b.node("Resize", [x!, "", "", b.shape(v.shape)], {
    mode: "nearest",
    coordinate_transformation_mode: "asymmetric",
    nearest_mode: "floor",
  });

const sumPool: Rule<"sumPool"> = (b, [x], v) => {
  const { factor } = v.attrs;
  const sides = [factor, factor];
  const means = b.node("AveragePool", [x!], { kernel_shape: sides, strides: sides });
  return b.node("Mul", [means, b.floats([], [factor * factor])]);
};

/** Indices and conditions are written as float32 and cast once, when the graph is compiled. */
const constant: Rule<"constant"> = (b, _, v) => {
  const shape = v.shape as number[];
  if (v.type === "float") return b.floats(shape, v.attrs.data);
  const exact = b.computing("f32").floats(shape, v.attrs.data);
  return b.cast(exact, v.type === "int" ? "i32" : "bool");
};

export const STANDARD_PRIMITIVES: LoweringRules["primitives"] = {
  constant,
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
  scatterRows,
  matmul,
  conv2d,
  conv2dInputGrad,
  conv2dWeightGrad,
  resizeNearest,
  sumPool,
  detach: (_, [x]) => x!,
};
