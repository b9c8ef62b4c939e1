import { invariant } from "../util/errors.js";
import { addDims, type Dim, exactDivDim, sameShape, showShape } from "./dim.js";
import {
  broadcastShapes,
  concatShape,
  conv2dShape,
  expectShape,
  matmulShape,
  reshapeShape,
} from "./shapes.js";
import type { Primitive, PrimitiveAttrs, Value, ValueType } from "./value.js";

/*
 * The primitives as functions: each checks its inputs, works out its result's shape, and makes one
 * node. Calling them records a graph; nothing is computed.
 */

/** A value, or a number that stands for a float constant. */
export type Operand = Value | number;

function node<P extends Primitive>(
  op: P,
  attrs: PrimitiveAttrs[P],
  inputs: readonly Value[],
  type: ValueType,
  shape: readonly Dim[],
): Value<P> {
  return { op, attrs, inputs, type, shape };
}

const asValue = (x: Operand): Value => (typeof x === "number" ? constant([], [x]) : x);

function float(op: string, ...values: readonly Value[]): void {
  for (const v of values) invariant(v.type === "float", `${op}: expected floats, got ${v.type}`);
}

/** A tensor that is fed on each run. */
export function input(name: string, shape: readonly Dim[], type: ValueType = "float"): Value {
  return node("input", { name }, [], type, shape);
}

/** A named weight of a known shape. */
export function param(name: string, shape: readonly number[]): Value {
  return node("param", { name }, [], "float", shape);
}

/** Numbers known when traced, row-major. */
export function constant(
  shape: readonly number[],
  data: readonly number[] | Float32Array,
  type: ValueType = "float",
): Value {
  const size = shape.reduce((n, d) => n * d, 1);
  invariant(size === data.length, `constant: shape [${shape}] with ${data.length} numbers`);
  return node("constant", { data }, [], type, shape);
}

/** A named composition: `expansion` is what it means, `name` and `spec` are what engines look for. */
export function composite(
  name: string,
  spec: unknown,
  inputs: readonly Value[],
  expansion: Value,
): Value {
  return node("composite", { name, spec, expansion }, inputs, expansion.type, expansion.shape);
}

type Unary = "neg" | "abs" | "exp" | "log" | "sqrt" | "sin" | "cos" | "tanh" | "sigmoid" | "erf";

function unary(op: Unary): (x: Value) => Value {
  return (x) => {
    float(op, x);
    return node(op, {}, [x], "float", x.shape);
  };
}

export const neg: (x: Value) => Value = unary("neg");
export const abs: (x: Value) => Value = unary("abs");
export const exp: (x: Value) => Value = unary("exp");
export const log: (x: Value) => Value = unary("log");
export const sqrt: (x: Value) => Value = unary("sqrt");
export const sin: (x: Value) => Value = unary("sin");
export const cos: (x: Value) => Value = unary("cos");
export const tanh: (x: Value) => Value = unary("tanh");
/** 1 / (1 + exp(-x)) */
export const sigmoid: (x: Value) => Value = unary("sigmoid");
/** The error function. */
export const erf: (x: Value) => Value = unary("erf");

type Binary = "add" | "sub" | "mul" | "div" | "max" | "min" | "equal" | "less";

function binary(op: Binary, type: ValueType): (a: Operand, b: Operand) => Value {
  return (x, y) => {
    const [a, b] = [asValue(x), asValue(y)];
    invariant(a.type === b.type, `${op}: types ${a.type} and ${b.type} differ`);
    if (type === "float") float(op, a);
    return node(op, {}, [a, b], type, broadcastShapes(op, a.shape, b.shape));
  };
}

export const add: (a: Operand, b: Operand) => Value = binary("add", "float");
export const sub: (a: Operand, b: Operand) => Value = binary("sub", "float");
export const mul: (a: Operand, b: Operand) => Value = binary("mul", "float");
export const div: (a: Operand, b: Operand) => Value = binary("div", "float");
export const max: (a: Operand, b: Operand) => Value = binary("max", "float");
export const min: (a: Operand, b: Operand) => Value = binary("min", "float");
export const equal: (a: Operand, b: Operand) => Value = binary("equal", "bool");
export const less: (a: Operand, b: Operand) => Value = binary("less", "bool");

/** `then` where `condition` holds, `otherwise` elsewhere. */
export function where(condition: Value, then: Operand, otherwise: Operand): Value {
  const [a, b] = [asValue(then), asValue(otherwise)];
  invariant(condition.type === "bool", `where: the condition is ${condition.type}`);
  float("where", a, b);
  const shape = broadcastShapes("where", condition.shape, a.shape, b.shape);
  return node("where", {}, [condition, a, b], "float", shape);
}

/** The axis counted from 0; -1 is the last. */
function axisOf(op: string, x: Value, axis: number): number {
  const at = axis < 0 ? axis + x.shape.length : axis;
  invariant(x.shape[at] !== undefined, `${op}: ${showShape(x.shape)} has no axis ${axis}`);
  return at;
}

function reduction(op: "sum" | "reduceMax"): (x: Value, axes: readonly number[]) => Value {
  return (x, axes) => {
    float(op, x);
    const reduced = axes.map((a) => axisOf(op, x, a)).sort((a, b) => a - b);
    const shape = x.shape.map((d, i) => (reduced.includes(i) ? 1 : d));
    return node(op, { axes: reduced }, [x], "float", shape);
  };
}

/** Sum over axes, which stay with size 1. */
export const sum: (x: Value, axes: readonly number[]) => Value = reduction("sum");
/** Maximum over axes, which stay with size 1. */
export const reduceMax: (x: Value, axes: readonly number[]) => Value = reduction("reduceMax");

/** The same elements in another shape; one dim may be -1. */
export function reshape(x: Value, shape: readonly Dim[]): Value {
  return node("reshape", {}, [x], x.type, reshapeShape(x.shape, shape));
}

/** Axis i of the result is axis perm[i] of x. */
export function transpose(x: Value, perm: readonly number[]): Value {
  const sorted = [...perm].sort((a, b) => a - b);
  invariant(
    perm.length === x.shape.length && sorted.every((p, i) => p === i),
    `transpose: [${perm}] does not permute ${showShape(x.shape)}`,
  );
  const shape = perm.map((p) => x.shape[p]!);
  return node("transpose", { perm }, [x], x.type, shape);
}

/** Repeats axes of size 1 until x has this shape. */
export function expand(x: Value, shape: readonly Dim[]): Value {
  invariant(
    sameShape(broadcastShapes("expand", x.shape, shape), shape),
    `expand: ${showShape(x.shape)} does not repeat into ${showShape(shape)}`,
  );
  return node("expand", {}, [x], x.type, shape);
}

/** Elements [start, start + size) of one axis. */
export function slice(x: Value, axis: number, start: number, size: Dim): Value {
  const at = axisOf("slice", x, axis);
  const whole = x.shape[at]!;
  invariant(
    start >= 0 && (typeof size !== "number" || typeof whole !== "number" || start + size <= whole),
    `slice: [${start}, ${start} + ${showShape([size])}) of axis ${axis} of ${showShape(x.shape)}`,
  );
  const shape = x.shape.map((d, i) => (i === at ? size : d));
  return node("slice", { axis: at, start }, [x], x.type, shape);
}

/** Values one after another along one axis. */
export function concat(values: readonly Value[], axis: number): Value {
  const [first] = values;
  invariant(first !== undefined, "concat: nothing to join");
  const at = axisOf("concat", first, axis);
  for (const v of values) {
    invariant(v.type === first.type, `concat: types ${first.type} and ${v.type} differ`);
  }
  return node("concat", { axis: at }, values, first.type, concatShape(values, at));
}

/** Zeros around x: [before, after] for each axis. */
export function pad(x: Value, pads: readonly (readonly [number, number])[]): Value {
  invariant(pads.length === x.shape.length, `pad: ${pads.length} pairs for ${showShape(x.shape)}`);
  const shape = x.shape.map((d, i) => addDims(d, pads[i]![0] + pads[i]![1]));
  return node("pad", { pads }, [x], x.type, shape);
}

/** Rows of `table` [N, ...rest] at `indices` [...i] -> [...i, ...rest]. */
export function gather(table: Value, indices: Value): Value {
  invariant(indices.type === "int", `gather: indices are ${indices.type}`);
  const shape = [...indices.shape, ...table.shape.slice(1)];
  return node("gather", {}, [table, indices], table.type, shape);
}

/**
 * `rows` [...i, ...rest] added into zeros [count, ...rest] at `indices` [...i]; where indices repeat,
 * their rows add up. The gradient of `gather`.
 */
export function scatterRows(rows: Value, indices: Value, count: Dim): Value {
  float("scatterRows", rows);
  invariant(indices.type === "int", `scatterRows: indices are ${indices.type}`);
  const rank = indices.shape.length;
  invariant(
    sameShape(rows.shape.slice(0, rank), indices.shape),
    `scatterRows: rows ${showShape(rows.shape)} at indices ${showShape(indices.shape)}`,
  );
  return node("scatterRows", {}, [rows, indices], "float", [count, ...rows.shape.slice(rank)]);
}

/** Which factors of a product stand transposed. */
export interface MatmulOptions {
  /** a is [..., K, M]. */
  readonly transA?: boolean;
  /** b is [..., N, K]. */
  readonly transB?: boolean;
}

/** Matrix product of the last two axes, a [..., M, K] times b [..., K, N]; other axes broadcast. */
export function matmul(
  a: Value,
  b: Value,
  { transA = false, transB = false }: MatmulOptions = {},
): Value {
  float("matmul", a, b);
  const attrs = { transA, transB };
  return node("matmul", attrs, [a, b], "float", matmulShape(a, b, attrs));
}

/** What a convolution may vary in. */
export interface Conv2dOptions {
  readonly stride?: number;
  /** Zeros on all sides, or [top, left, bottom, right]. */
  readonly padding?: number | Sides;
}

type Sides = readonly [number, number, number, number];

function convAttrs({ stride = 1, padding: p = 0 }: Conv2dOptions): PrimitiveAttrs["conv2d"] {
  return { stride, padding: typeof p === "number" ? [p, p, p, p] : p };
}

/** x [B,C,H,W], weight [O,C,kh,kw], bias [O] -> [B,O,H',W']. */
export function conv2d(
  x: Value,
  weight: Value,
  bias: Value | undefined,
  options: Conv2dOptions = {},
): Value {
  const attrs = convAttrs(options);
  const shape = conv2dShape(x.shape, weight.shape, attrs.stride, attrs.padding);
  if (bias) expectShape("conv2d bias", bias, [shape[1]!]);
  const inputs = bias ? [x, weight, bias] : [x, weight];
  return node("conv2d", attrs, inputs, "float", shape);
}

/**
 * How a loss changes with the input of a convolution: dy [B,O,H',W'], weight [O,C,kh,kw] -> dx of
 * `shape` [B,C,H,W].
 */
export function conv2dInputGrad(
  dy: Value,
  weight: Value,
  shape: readonly Dim[],
  options: Conv2dOptions = {},
): Value {
  float("conv2dInputGrad", dy, weight);
  const attrs = convAttrs(options);
  const forward = conv2dShape(shape, weight.shape, attrs.stride, attrs.padding);
  expectShape("conv2dInputGrad dy", dy, forward);
  return node("conv2dInputGrad", attrs, [dy, weight], "float", shape);
}

/**
 * How a loss changes with the weight of a convolution: x [B,C,H,W], dy [B,O,H',W'] -> dw
 * [O,C,kh,kw] for a `kernel` [kh, kw].
 */
export function conv2dWeightGrad(
  x: Value,
  dy: Value,
  kernel: readonly [number, number],
  options: Conv2dOptions = {},
): Value {
  float("conv2dWeightGrad", x, dy);
  const attrs = convAttrs(options);
  const shape = [dy.shape[1]!, x.shape[1]!, ...kernel];
  expectShape("conv2dWeightGrad dy", dy, conv2dShape(x.shape, shape, attrs.stride, attrs.padding));
  return node("conv2dWeightGrad", attrs, [x, dy], "float", shape);
}

/** [B,C,H,W] -> [B,C,height,width], nearest neighbour as torch.nn.functional.interpolate has it. */
export function resizeNearest(x: Value, height: Dim, width: Dim): Value {
  invariant(x.shape.length === 4, `resizeNearest: expected [B,C,H,W], got ${showShape(x.shape)}`);
  return node("resizeNearest", {}, [x], "float", [x.shape[0]!, x.shape[1]!, height, width]);
}

/** [B,C,f*H,f*W] -> [B,C,H,W], the sum of each f x f cell. */
export function sumPool(x: Value, factor: number): Value {
  float("sumPool", x);
  const side = (d: Dim | undefined): Dim => exactDivDim(d ?? 0, factor) ?? -1;
  const [height, width] = [side(x.shape[2]), side(x.shape[3])];
  invariant(
    x.shape.length === 4 && height !== -1 && width !== -1,
    `sumPool: ${showShape(x.shape)} in cells of ${factor} x ${factor}`,
  );
  return node("sumPool", { factor }, [x], "float", [x.shape[0]!, x.shape[1]!, height, width]);
}

/** x itself, as a constant: no gradient passes. */
export function detach(x: Value): Value {
  return node("detach", {}, [x], x.type, x.shape);
}
