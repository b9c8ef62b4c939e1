import { invariant } from "../util/errors.js";
import { type Dim, dimProduct, showShape } from "./dim.js";
import * as op from "./ops.js";
import { expectShape } from "./shapes.js";
import type { PrimitiveAttrs, Value } from "./value.js";

/*
 * Compositions that engines have fused kernels for. Each is recorded with its name and with the
 * primitives that define it: a lowering may take the name, everything else reads the definition.
 */

/** What gradients of compositions are made of, see `compositeGradients.ts` for their inputs. */
export interface GradientSpecs {
  sigmoidUnitGrad: { readonly factor: number };
  geluGrad: Readonly<Record<never, never>>;
  layerNormGrad: CompositeSpecs["layerNorm"];
  layerNormWeightGrad: CompositeSpecs["layerNorm"];
  groupNormGrad: CompositeSpecs["groupNorm"];
  groupNormWeightGrad: CompositeSpecs["groupNorm"];
  attentionGrad: CompositeSpecs["attention"] & { readonly of: "q" | "k" | "v" };
}

/** Settings of every composition, by name. Rule tables may have rows for these names. */
export interface CompositeSpecs extends GradientSpecs {
  softmax: Readonly<Record<never, never>>;
  silu: Readonly<Record<never, never>>;
  gelu: Readonly<Record<never, never>>;
  quickGelu: Readonly<Record<never, never>>;
  linear: Readonly<Record<never, never>>;
  int8Linear: Readonly<Record<never, never>>;
  int8Conv2d: PrimitiveAttrs["conv2d"];
  int8Peak: Readonly<Record<never, never>>;
  layerNorm: { readonly eps: number };
  inverseDeviation: { readonly eps: number };
  groupNorm: { readonly groups: number; readonly eps: number };
  attention: { readonly heads: number; readonly scale: number; readonly causal: boolean };
}

export type CompositeName = keyof CompositeSpecs;

/** Records a composition with its definition. */
export function named<C extends CompositeName>(
  name: C,
  spec: CompositeSpecs[C],
  inputs: readonly Value[],
  definition: Value,
): Value {
  return op.composite(name, spec, inputs, definition);
}

/** Mean over axes, which stay with size 1. Sizes that are not known are counted at run time. */
export function mean(x: Value, axes: readonly number[]): Value {
  const count = dimProduct(axes.map((a) => x.shape.at(a)!));
  const total = op.sum(x, axes);
  if (typeof count === "number") return op.mul(total, 1 / count);
  const ones = op.expand(op.constant([], [1]), x.shape);
  return op.div(total, op.sum(ones, axes));
}

/** exp(x) / sum(exp(x)) over the last axis. */
export function softmax(x: Value): Value {
  const e = op.exp(op.sub(x, op.reduceMax(x, [-1])));
  return named("softmax", {}, [x], op.div(e, op.sum(e, [-1])));
}

/** x * sigmoid(x). Elfwing et al. 2017; also called swish. */
export function silu(x: Value): Value {
  return named("silu", {}, [x], op.mul(x, op.sigmoid(x)));
}

/** x * Phi(x), exact. Hendrycks & Gimpel 2016. */
export function gelu(x: Value): Value {
  const phi = op.mul(0.5, op.add(1, op.erf(op.mul(x, Math.SQRT1_2))));
  return named("gelu", {}, [x], op.mul(x, phi));
}

/** x * sigmoid(1.702 x), as OpenAI's CLIP has it. */
export function quickGelu(x: Value): Value {
  return named("quickGelu", {}, [x], op.mul(x, op.sigmoid(op.mul(1.702, x))));
}

/** x [..., I] times weight [O, I] transposed, plus bias [O] -> [..., O]. */
export function linear(x: Value, weight: Value, bias?: Value): Value {
  const product = op.matmul(x, weight, { transB: true });
  const inputs = bias ? [x, weight, bias] : [x, weight];
  return named("linear", {}, inputs, bias ? op.add(product, bias) : product);
}

/**
 * A linear layer whose weight [I, O] holds whole numbers of -127 to 127, in units of scale [O]; x
 * [..., I] -> [..., O]. A device may round x to 8 bits as well.
 */
export function int8Linear(x: Value, weight: Value, scale: Value, bias?: Value): Value {
  const product = op.matmul(x, op.mul(weight, scale));
  const inputs = bias ? [x, weight, scale, bias] : [x, weight, scale];
  return named("int8Linear", {}, inputs, bias ? op.add(product, bias) : product);
}

/** Operands of a convolution in 8 bits. */
export interface Int8Conv2dOperands {
  /** Whole numbers of -127 to 127 [O,I,k,k]. */
  readonly weight: Value;
  /** What one unit of the weight stands for [O]. */
  readonly scale: Value;
  readonly bias: Value;
  /** Largest magnitude that is expected of each output channel [O]; beyond it results saturate. */
  readonly range: Value;
}

/** A convolution of x [B,I,H,W] whose device may round x and the result to 8 bits. */
export function int8Conv2d(
  x: Value,
  { weight, scale, bias, range }: Int8Conv2dOperands,
  options: op.Conv2dOptions,
): Value {
  const units = op.reshape(scale, [scale.shape[0]!, 1, 1, 1]);
  const exact = op.conv2d(x, op.mul(weight, units), bias, options) as Value<"conv2d">;
  return named("int8Conv2d", exact.attrs, [x, weight, scale, bias, range], exact);
}

/**
 * Largest magnitudes of what an `int8Conv2d` gives [B,O,H,W] before its bias [O], by channel -> [O]. A
 * device may tell them to within one unit of the whole numbers that it gave.
 */
export function int8Peak(result: Value, bias: Value): Value {
  const plain = op.sub(result, op.reshape(bias, [bias.shape[0]!, 1, 1]));
  const peak = op.reshape(op.reduceMax(op.abs(plain), [0, 2, 3]), bias.shape);
  return named("int8Peak", {}, [result, bias], peak);
}

/** Normalises the last axis, then scales and shifts. Ba et al. 2016. */
export function layerNorm(x: Value, weight: Value, bias: Value, eps: number): Value {
  const centred = op.sub(x, mean(x, [-1]));
  const variance = mean(op.mul(centred, centred), [-1]);
  const normal = op.div(centred, op.sqrt(op.add(variance, eps)));
  return named("layerNorm", { eps }, [x, weight, bias], op.add(op.mul(normal, weight), bias));
}

/** 1 / sqrt(variance + eps) over the last axis, which stays with size 1: a norm's scale. */
export function inverseDeviation(x: Value, eps: number): Value {
  const centred = op.sub(x, mean(x, [-1]));
  const variance = mean(op.mul(centred, centred), [-1]);
  return named("inverseDeviation", { eps }, [x], op.div(1, op.sqrt(op.add(variance, eps))));
}

/** Normalises groups of channels of x [B, C, ...], then scales and shifts by channel. Wu & He 2018. */
export function groupNorm(
  x: Value,
  weight: Value,
  bias: Value,
  { groups, eps }: CompositeSpecs["groupNorm"],
): Value {
  const channels = x.shape[1] as number;
  invariant(channels % groups === 0, `groupNorm: ${channels} channels in ${groups} groups`);
  const grouped = op.reshape(x, [x.shape[0]!, groups, -1]);
  const centred = op.sub(grouped, mean(grouped, [2]));
  const variance = mean(op.mul(centred, centred), [2]);
  const normal = op.div(centred, op.sqrt(op.add(variance, eps)));
  const perChannel = [channels, ...x.shape.slice(2).map(() => 1)];
  const scaled = op.mul(op.reshape(normal, x.shape), op.reshape(weight, perChannel));
  const result = op.add(scaled, op.reshape(bias, perChannel));
  return named("groupNorm", { groups, eps }, [x, weight, bias], result);
}

/**
 * softmax(q k^T * scale) v, by heads; q [B,N,C], k and v [B,M,C] -> [B,N,C], where C is cut into
 * heads of equal width. `causal` hides from each token the ones after it. Vaswani et al. 2017.
 */
export function attention(q: Value, k: Value, v: Value, spec: CompositeSpecs["attention"]): Value {
  const { heads, scale, causal } = spec;
  const [b, n, c] = q.shape as readonly [Dim, Dim, number];
  const m = k.shape[1]!;
  invariant(c % heads === 0, `attention: ${c} channels in ${heads} heads`);
  expectShape("attention keys", k, [b, m, c]);
  expectShape("attention values", v, [b, m, c]);
  const split = (x: Value): Value =>
    op.transpose(op.reshape(x, [x.shape[0]!, x.shape[1]!, heads, c / heads]), [0, 2, 1, 3]);
  let scores = op.mul(op.matmul(split(q), split(k), { transB: true }), scale); // [B,heads,N,M]
  if (causal) scores = op.add(scores, causalMask(n, m));
  const mixed = op.matmul(softmax(scores), split(v)); // [B,heads,N,C/heads]
  const joined = op.reshape(op.transpose(mixed, [0, 2, 1, 3]), [b, n, c]);
  return named("attention", spec, [q, k, v], joined);
}

/** 0 on and below the diagonal, a large negative number above. */
export function causalMask(n: Dim, m: Dim): Value {
  invariant(
    typeof n === "number" && typeof m === "number",
    `causal attention needs known lengths, got ${showShape([n, m])}`,
  );
  const mask = new Float32Array(n * m);
  for (let i = 0; i < n; i++) mask.fill(-1e9, i * m + i + 1, (i + 1) * m);
  return op.constant([n, m], mask);
}
