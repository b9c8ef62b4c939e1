import { invariant } from "../util/errors.js";
import { COMPOSITE_GRADIENTS, type CompositeGradient } from "./compositeGradients.js";
import type { CompositeName } from "./composites.js";
import { type Dim, exactDivDim, sameDim, sameShape, showShape } from "./dim.js";
import * as op from "./ops.js";
import { isOp, type Primitive, type Value } from "./value.js";

/*
 * How a loss changes with the inputs of each primitive, given `dy`: how it changes with its result.
 * Rules write more of the same graph, so that what they write has gradients again.
 */

/**
 * One gradient for each of `sourcesOf(v)`, of its shape; undefined where none passes. `v` says what
 * was done to which inputs, and `y` is what came out: `v` itself, unless it was forgotten and the one
 * or the other was made anew. What a caller does not use is never computed.
 */
export type GradientRule<P extends Primitive> = (
  v: Value<P>,
  dy: Value,
  y: Value,
) => readonly (Value | undefined)[];

/** What a gradient of `v` flows to: a composition without a rule of its own stands for its expansion. */
export function sourcesOf(v: Value): readonly Value[] {
  if (isOp(v, "detach")) return [];
  return isOp(v, "composite") && !ruleOf(v) ? [v.attrs.expansion] : v.inputs;
}

const ruleOf = (v: Value<"composite">): CompositeGradient<never> | undefined =>
  COMPOSITE_GRADIENTS[v.attrs.name as CompositeName] as CompositeGradient<never> | undefined;

/** Undoes broadcasting from `shape`: sums over the axes along which one number became many. */
export function unbroadcast(dy: Value, shape: readonly Dim[]): Value {
  if (sameShape(dy.shape, shape)) return dy;
  const added = dy.shape.length - shape.length;
  const repeated = (d: Dim, i: number): boolean =>
    !sameDim(d, 1) && (i < added || !sameDim(d, shape[i - added]!));
  const axes = [...dy.shape.keys()].filter((i) => repeated(dy.shape[i]!, i));
  const total = axes.length > 0 ? op.sum(dy, axes) : dy;
  return added > 0 ? op.reshape(total, shape) : total;
}

/** dx = dy times this, of the input and the result. */
function unary<P extends Primitive>(derivative: (x: Value, y: Value) => Value): GradientRule<P> {
  return (v, dy, y) => [op.mul(dy, derivative(v.inputs[0]!, y))];
}

type Pair = readonly [Value, Value];

/** Gradients by both sides before broadcasting is undone. */
function binary<P extends Primitive>(
  gradients: (a: Value, b: Value, dy: Value, y: Value) => Pair,
): GradientRule<P> {
  return (v, dy, y) => {
    const [a, b] = v.inputs as unknown as Pair;
    const [da, db] = gradients(a, b, dy, y);
    return [unbroadcast(da, a.shape), unbroadcast(db, b.shape)];
  };
}

const none = (): readonly undefined[] => [];

/**
 * The larger side gets dy. Where both are equal they share it evenly, but a constant leaves it to
 * the other side, so that clamping passes dy at its bounds as torch.clamp does.
 */
function extremum<P extends Primitive>(larger: (a: Value, b: Value) => Value): GradientRule<P> {
  return binary((a, b, dy) => {
    const share = (mine: Value, other: Value): Value => {
      const ties = other.op === "constant" ? dy : mine.op === "constant" ? 0 : op.mul(dy, 0.5);
      return op.where(larger(mine, other), dy, op.where(op.equal(mine, other), ties, 0));
    };
    return [share(a, b), share(b, a)];
  });
}

/** Maxima that are reached more than once share dy evenly. */
const reduceMax: GradientRule<"reduceMax"> = (v, dy, y) => {
  const reached = op.where(op.equal(v.inputs[0]!, y), 1, 0);
  return [op.mul(reached, op.div(dy, op.sum(reached, v.attrs.axes)))];
};

const slice: GradientRule<"slice"> = (v, dy) => {
  const { axis, start } = v.attrs;
  const [whole, part] = [v.inputs[0]!.shape[axis], v.shape[axis]];
  invariant(
    typeof whole === "number" && typeof part === "number",
    `slice: its gradient needs known sizes, got ${showShape(v.shape)}`,
  );
  const pads = v.shape.map((_, i): readonly [number, number] =>
    i === axis ? [start, whole - start - part] : [0, 0],
  );
  return [op.pad(dy, pads)];
};

const concat: GradientRule<"concat"> = (v, dy) => {
  const { axis } = v.attrs;
  let start = 0;
  return v.inputs.map((x) => {
    const size = x.shape[axis];
    invariant(typeof size === "number", `concat: its gradient needs known sizes`);
    const part = op.slice(dy, axis, start, size);
    start += size;
    return part;
  });
};

const pad: GradientRule<"pad"> = (v, dy) => [
  v.attrs.pads.reduce(
    (inner, [before, after], axis) =>
      before === 0 && after === 0
        ? inner
        : op.slice(inner, axis, before, v.inputs[0]!.shape[axis]!),
    dy,
  ),
];

/** A weight that is shared by a batch meets all rows at once: one product instead of many and a sum. */
const matmul: GradientRule<"matmul"> = (v, dy) => {
  const [a, b] = v.inputs as unknown as Pair;
  const { transA, transB } = v.attrs;
  const shared = b.shape.length === 2 && a.shape.length > 2 && !transA;
  const rows = (x: Value): Value => (shared ? op.reshape(x, [-1, x.shape.at(-1)!]) : x);
  const [x, dz] = [rows(a), rows(dy)];
  const da = transA
    ? op.matmul(b, dz, { transA: transB, transB: true })
    : op.matmul(dz, b, { transB: !transB });
  const db = transB
    ? op.matmul(dz, x, { transA: true, transB: transA })
    : op.matmul(x, dz, { transA: !transA });
  return [shared ? op.reshape(da, a.shape) : unbroadcast(da, a.shape), unbroadcast(db, b.shape)];
};

const kernelOf = (weight: Value): readonly [number, number] =>
  weight.shape.slice(2) as unknown as readonly [number, number];

const conv2d: GradientRule<"conv2d"> = (v, dy) => {
  const [x, weight, bias] = v.inputs;
  return [
    op.conv2dInputGrad(dy, weight!, x!.shape, v.attrs),
    op.conv2dWeightGrad(x!, dy, kernelOf(weight!), v.attrs),
    bias && op.reshape(op.sum(dy, [0, 2, 3]), bias.shape),
  ];
};

/** <g, dx(dy, weight)> is <conv(g, weight), dy>, which says all. */
const conv2dInputGrad: GradientRule<"conv2dInputGrad"> = (v, g) => {
  const [dy, weight] = v.inputs as unknown as Pair;
  return [
    op.conv2d(g, weight, undefined, v.attrs),
    op.conv2dWeightGrad(g, dy, kernelOf(weight), v.attrs),
  ];
};

/** <g, dw(x, dy)> is <conv(x, g), dy>. */
const conv2dWeightGrad: GradientRule<"conv2dWeightGrad"> = (v, g) => {
  const [x, dy] = v.inputs as unknown as Pair;
  return [op.conv2dInputGrad(dy, g, x.shape, v.attrs), op.conv2d(x, g, undefined, v.attrs)];
};

/** [to, from]: 1 where pixel i of the larger side was taken from pixel j. */
function selection(from: Dim, to: Dim): Value {
  invariant(
    typeof from === "number" && typeof to === "number",
    `resizeNearest: its gradient needs known sizes, got ${showShape([from, to])}`,
  );
  const matrix = new Float32Array(to * from);
  for (let i = 0; i < to; i++) matrix[i * from + Math.floor((i * from) / to)] = 1;
  return op.constant([to, from], matrix);
}

const resizeNearest: GradientRule<"resizeNearest"> = (v, dy) => {
  const [h, w] = v.inputs[0]!.shape.slice(2) as [Dim, Dim];
  const [height, width] = v.shape.slice(2) as [Dim, Dim];
  const [down, across] = [exactDivDim(height, h), exactDivDim(width, w)];
  if (typeof down === "number" && down === across) return [op.sumPool(dy, down)];
  const rows = op.matmul(selection(h, height), dy, { transA: true }); // [B,C,h,W']
  return [op.matmul(rows, selection(w, width))];
};

/** A rule for every primitive; leaves have no sources. */
export const GRADIENTS: { readonly [P in Primitive]: GradientRule<P> } = {
  input: none,
  param: none,
  constant: none,
  detach: none,
  composite: (v, dy, y) => ruleOf(v)?.(v.inputs, dy, y, v.attrs.spec as never) ?? [dy],

  neg: (_, dy) => [op.neg(dy)],
  abs: ({ inputs: [x] }, dy) => [
    op.where(op.less(0, x!), dy, op.where(op.less(x!, 0), op.neg(dy), 0)),
  ],
  exp: unary((_, y) => y),
  log: ({ inputs: [x] }, dy) => [op.div(dy, x!)],
  sqrt: (_, dy, y) => [op.div(op.mul(dy, 0.5), y)],
  sin: unary((x) => op.cos(x)),
  cos: unary((x) => op.neg(op.sin(x))),
  tanh: unary((_, y) => op.sub(1, op.mul(y, y))),
  sigmoid: unary((_, y) => op.mul(y, op.sub(1, y))),
  erf: unary((x) => op.mul(2 / Math.sqrt(Math.PI), op.exp(op.neg(op.mul(x, x))))),

  add: binary((_, __, dy) => [dy, dy]),
  sub: binary((_, __, dy) => [dy, op.neg(dy)]),
  mul: binary((a, b, dy) => [op.mul(dy, b), op.mul(dy, a)]),
  div: binary((_, b, dy, y) => {
    const da = op.div(dy, b);
    return [da, op.neg(op.mul(da, y))];
  }),
  max: extremum((a, b) => op.less(b, a)),
  min: extremum((a, b) => op.less(a, b)),
  equal: none,
  less: none,
  where: ({ inputs: [condition, a, b] }, dy) => [
    undefined,
    unbroadcast(op.where(condition!, dy, 0), a!.shape),
    unbroadcast(op.where(condition!, 0, dy), b!.shape),
  ],

  sum: (v, dy) => [op.expand(dy, v.inputs[0]!.shape)],
  reduceMax,

  reshape: (v, dy) => [op.reshape(dy, v.inputs[0]!.shape)],
  transpose: ({ attrs: { perm } }, dy) => [
    op.transpose(
      dy,
      perm.map((_, i) => perm.indexOf(i)),
    ),
  ],
  expand: (v, dy) => [unbroadcast(dy, v.inputs[0]!.shape)],
  slice,
  concat,
  pad,
  gather: ({ inputs: [table, indices] }, dy) => [op.scatterRows(dy, indices!, table!.shape[0]!)],
  scatterRows: ({ inputs: [, indices] }, dy) => [op.gather(dy, indices!)],

  matmul,
  conv2d,
  conv2dInputGrad,
  conv2dWeightGrad,
  resizeNearest,
  sumPool: (v, dy) => {
    const [height, width] = v.inputs[0]!.shape.slice(2) as [Dim, Dim];
    return [op.resizeNearest(dy, height, width)];
  },
};
