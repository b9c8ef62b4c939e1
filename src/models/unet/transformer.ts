import { gelu } from "../../graph/composites.js";
import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import { multiHeadAttention, toPixels, toTokens } from "../../nn/attention.js";
import { conv2d, groupNorm, layerNorm, linear, linearParts } from "../../nn/layers.js";
import { type Params, zeroed } from "../../nn/params.js";

/** One attention layer, as a hook sees it: `attend()` is what would have happened. */
export type AttentionHook = (site: {
  readonly p: Params;
  readonly kind: "self" | "cross";
  /** Level of the UNet, 0 the finest. */
  readonly level: number;
  /** The transformer's input [B,C,H,W], whose pixels are the tokens of `x`. */
  readonly pixels: Value;
  readonly x: Value;
  readonly context: Value;
  readonly heads: number;
  readonly attend: (x: Value, context: Value) => Value;
}) => Value;

/** From values by picture [P,...] to values by text [B,...]; those that are by text already stay. */
export type ByText = (v: Value) => Value;

/** Settings of one spatial transformer. */
export interface TransformerOptions {
  readonly level: number;
  readonly heads: number;
  readonly layers: number;
  readonly groups: number;
  readonly linearProjection: boolean;
  readonly hook: AttentionHook | undefined;
  readonly byText: ByText;
}

/** Where a transformer block stands. */
type Site = Pick<Parameters<AttentionHook>[0], "p" | "level" | "pixels" | "heads">;

const NORM_EPS = 1e-6;

/**
 * Spatial transformer: pixels [B,C,H,W] attend to each other and to the text [B,N,D] -> [B,C,H,W].
 * Pixels [P,C,H,W] that several texts are about attend to each other once.
 * Source: Rombach et al. 2022, section 3.3; diffusers Transformer2DModel.
 */
export function transformer2d(
  p: Params,
  x: Value,
  text: Value,
  { level, heads, layers, groups, linearProjection, hook, byText }: TransformerOptions,
): Value {
  const channels = x.shape[1] as number;
  const normal = groupNorm(p.at("norm"), x, groups, NORM_EPS);
  let h = linearProjection
    ? linear(p.at("proj_in"), toTokens(normal), channels)
    : toTokens(conv2d(p.at("proj_in"), normal, channels, 1));
  for (let i = 0; i < layers; i++) {
    const pixels = i === 0 ? x : byText(x);
    const site: Site = { p: p.at("transformer_blocks").at(i), level, pixels, heads };
    h = transformerBlock(site, h, text, { hook, byText });
  }
  const before = byText(x);
  const out = zeroed(p.at("proj_out"));
  const projected = linearProjection
    ? toPixels(linear(out, h, channels), before)
    : conv2d(out, toPixels(h, before), channels, 1);
  return op.add(projected, before);
}

/** Self-attention, cross-attention and a gated MLP, each after a layer norm. */
function transformerBlock(
  site: Site,
  x: Value,
  text: Value,
  { hook, byText }: Pick<TransformerOptions, "hook" | "byText">,
): Value {
  const { p, heads } = site;
  const attend = (kind: "self" | "cross", name: string, query: Value, context: Value): Value => {
    const plain = (q: Value, c: Value): Value => multiHeadAttention(p.at(name), q, c, { heads });
    if (!hook) return plain(query, context);
    return hook({ ...site, p: p.at(name), kind, x: query, context, attend: plain });
  };
  const first = layerNorm(p.at("norm1"), x);
  let h = byText(op.add(attend("self", "attn1", first, first), x));
  h = op.add(attend("cross", "attn2", layerNorm(p.at("norm2"), h), text), h);
  return op.add(feedForward(p.at("ff.net"), layerNorm(p.at("norm3"), h)), h);
}

/** Linear -> GEGLU -> linear, four times as wide inside. Shazeer 2020. */
function feedForward(p: Params, x: Value): Value {
  const channels = x.shape[2] as number;
  const inner = 4 * channels;
  const [value, gate] = linearParts(p.at("0.proj"), x, 2 * inner, 2);
  return linear(p.at("2"), op.mul(value!, gelu(gate!)), channels);
}
