import type { Dim } from "./dim.js";

/**
 * What a value holds. `float` is float32 on paper; a lowering may compute it in another precision.
 * `int` is an index, `bool` the answer of a comparison.
 */
export type ValueType = "float" | "int" | "bool";

type None = Readonly<Record<never, never>>;

/** Zero padding is [top, left, bottom, right]. */
interface ConvAttrs {
  readonly stride: number;
  readonly padding: readonly [number, number, number, number];
}

/** The attributes of every primitive. Each rule table has one row per key of this interface. */
export interface PrimitiveAttrs {
  /** Fed on each run. */
  input: { readonly name: string };
  /** A named weight. */
  param: { readonly name: string };
  /** Known when traced. */
  constant: { readonly data: readonly number[] | Float32Array };
  /** A named composition, see `composites.ts`: equal to `expansion`, which engines may replace. */
  composite: { readonly name: string; readonly spec: unknown; readonly expansion: Value };

  neg: None;
  abs: None;
  exp: None;
  log: None;
  sqrt: None;
  sin: None;
  cos: None;
  tanh: None;
  sigmoid: None;
  erf: None;

  add: None;
  sub: None;
  mul: None;
  div: None;
  max: None;
  min: None;
  equal: None;
  less: None;
  /** condition, then, otherwise */
  where: None;

  /** Reductions keep the reduced axes with size 1. */
  sum: { readonly axes: readonly number[] };
  reduceMax: { readonly axes: readonly number[] };

  reshape: None;
  transpose: { readonly perm: readonly number[] };
  expand: None;
  /** Elements [start, start + size of the result) of one axis. */
  slice: { readonly axis: number; readonly start: number };
  concat: { readonly axis: number };
  /** Zeros around: [before, after] for each axis. */
  pad: { readonly pads: readonly (readonly [number, number])[] };
  /** Rows of `table` [N, ...] at `indices`. */
  gather: None;
  /** `rows` added into a table of zeros [N, ...] at `indices`: the gradient of `gather`. */
  scatterRows: None;

  /** a [..., M, K] ([..., K, M] with transA) times b [..., K, N] ([..., N, K] with transB). */
  matmul: { readonly transA: boolean; readonly transB: boolean };
  /** x [B,C,H,W], weight [O,C,kh,kw], bias [O]; zero padding [top, left, bottom, right]. */
  conv2d: ConvAttrs;
  /** dy [B,O,H',W'], weight [O,C,kh,kw] -> dx [B,C,H,W]: the gradient of `conv2d` by its input. */
  conv2dInputGrad: ConvAttrs;
  /** x [B,C,H,W], dy [B,O,H',W'] -> dw [O,C,kh,kw]: the gradient of `conv2d` by its weight. */
  conv2dWeightGrad: ConvAttrs;
  /** [B,C,H,W] -> [B,C,H',W'], pixel i taken from floor(i * H / H'). */
  resizeNearest: None;
  /** [B,C,f*H,f*W] -> [B,C,H,W], the sum of each f x f cell: the gradient of `resizeNearest`. */
  sumPool: { readonly factor: number };

  /** The same numbers, but no gradient passes. */
  detach: None;
}

export type Primitive = keyof PrimitiveAttrs;

/** A node of the graph and its one result. Values are immutable and have no lifetime. */
export interface Value<P extends Primitive = Primitive> {
  readonly op: P;
  readonly attrs: PrimitiveAttrs[P];
  readonly inputs: readonly Value[];
  readonly type: ValueType;
  readonly shape: readonly Dim[];
}

/** Whether `v` was made by primitive `op`, narrowing its attributes. */
export function isOp<P extends Primitive>(v: Value, op: P): v is Value<P> {
  return v.op === op;
}

/**
 * Every value that `outputs` depend on, inputs before users, each once. `inputsOf` says what a value
 * depends on: a composite may stand for itself or for its expansion.
 */
export function topological(
  outputs: readonly Value[],
  inputsOf: (v: Value) => readonly Value[] = (v) => v.inputs,
): readonly Value[] {
  const order: Value[] = [];
  const seen = new Set<Value>();
  const stack: { v: Value; ready: boolean }[] = [];
  for (const output of outputs) stack.push({ v: output, ready: false });
  while (stack.length > 0) {
    const { v, ready } = stack.pop()!;
    if (ready) {
      order.push(v);
    } else if (!seen.has(v)) {
      seen.add(v);
      stack.push({ v, ready: true });
      for (const input of inputsOf(v)) if (!seen.has(input)) stack.push({ v: input, ready: false });
    }
  }
  return order;
}
