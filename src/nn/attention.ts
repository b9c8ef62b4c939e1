import { attention } from "../graph/composites.js";
import { mulDims } from "../graph/dim.js";
import * as op from "../graph/ops.js";
import type { Value } from "../graph/value.js";
import { linear } from "./layers.js";
import type { Params } from "./params.js";

/** Where the four projections of an attention layer stand, and whether q, k and v have a bias. */
export interface AttentionOptions {
  readonly heads: number;
  readonly qkvBias?: boolean;
  readonly causal?: boolean;
  /** Key names of the projections: query, key, value, output. */
  readonly names?: readonly [string, string, string, string];
}

/** What attention looks up: keys and values [B,M,C] of a context. */
export interface KeysAndValues {
  readonly k: Value;
  readonly v: Value;
}

const NAMES = ["to_q", "to_k", "to_v", "to_out.0"] as const;

/**
 * Multi-head attention of x [B,N,C] to context [B,M,D] -> [B,N,C]. Source: Vaswani et al. 2017;
 * diffusers Attention (to_q, to_k, to_v, to_out.0), transformers CLIPAttention (q_proj, ...).
 */
export function multiHeadAttention(
  p: Params,
  x: Value,
  context: Value,
  options: AttentionOptions,
): Value {
  const q = query(p, x, options);
  return attendTo(p, q, keysAndValues(p, context, x.shape[2] as number, options), options);
}

/** The queries of x [B,N,C] -> [B,N,C]. */
export function query(
  p: Params,
  x: Value,
  { qkvBias = false, names = NAMES }: AttentionOptions,
): Value {
  return linear(p.at(names[0]), x, x.shape[2] as number, { bias: qkvBias });
}

/** The keys and values of context [B,M,D], for attention over `channels`. */
export function keysAndValues(
  p: Params,
  context: Value,
  channels: number,
  { qkvBias = false, names = NAMES }: AttentionOptions,
): KeysAndValues {
  return {
    k: linear(p.at(names[1]), context, channels, { bias: qkvBias }),
    v: linear(p.at(names[2]), context, channels, { bias: qkvBias }),
  };
}

/** Attention of queries [B,N,C] to keys and values that are there already -> [B,N,C]. */
export function attendTo(
  p: Params,
  q: Value,
  { k, v }: KeysAndValues,
  { heads, causal = false, names = NAMES }: AttentionOptions,
): Value {
  const channels = q.shape[2] as number;
  const mixed = attention(q, k, v, { heads, scale: (channels / heads) ** -0.5, causal });
  return linear(p.at(names[3]), mixed, channels);
}

/** Pixels as tokens: [B,C,H,W] -> [B,H*W,C]. */
export function toTokens(x: Value): Value {
  const [b, c, h, w] = x.shape;
  return op.reshape(op.transpose(x, [0, 2, 3, 1]), [b!, mulDims(h!, w!), c!]);
}

/** Tokens as pixels again: [B,H*W,C] -> the size of `like` [B,*,H,W]. */
export function toPixels(tokens: Value, like: Value): Value {
  const [b, , h, w] = like.shape;
  return op.transpose(op.reshape(tokens, [b!, h!, w!, tokens.shape[2]!]), [0, 3, 1, 2]);
}
