import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import { attendTo, type KeysAndValues, keysAndValues, query } from "../../nn/attention.js";
import type { Params } from "../../nn/params.js";
import { finestAttention, type UNetConfig } from "./config.js";
import { mergeTokens } from "./mergeTokens.js";
import { unet } from "./model.js";
import type { AttentionHook } from "./transformer.js";

/**
 * Keys and values of a text [B,N,crossAttentionDim], each [B,N,C], by the path of the cross-attention
 * layer that looks them up: they are the same at every step.
 */
export function textFeatures(
  p: Params,
  config: UNetConfig,
  context: Value,
): ReadonlyMap<string, KeysAndValues> {
  const found = new Map<string, KeysAndValues>();
  const note: AttentionHook = ({ p, kind, x, context, heads }) => {
    const channels = x.shape[2] as number;
    if (kind === "cross") found.set(p.path, keysAndValues(p, context, channels, { heads }));
    return x;
  };
  const batch = context.shape[0]!;
  const side = 2 ** (config.blocks.length - 1);
  const x = op.input("x", [batch, config.inChannels, side, side]);
  unet(p, config, { x, t: op.input("t", [batch]), context }, { attention: note });
  return found;
}

/** What attention does otherwise than it was trained. */
export interface AttentionChanges {
  /** Keys and values of cross-attention, by the path of its layer. */
  readonly text?: ((path: string, channels: number) => KeysAndValues) | undefined;
  /**
   * Side of the cells of pixels whose tokens are merged before they become keys and values of
   * self-attention (Smith et al. 2024): this at the finest level that has any, half as much at the next...
   */
  readonly mergeTokens?: number | undefined;
}

/** A hook that makes these changes. */
export function changedAttention(
  config: UNetConfig,
  { text, mergeTokens: cell = 1 }: AttentionChanges,
): AttentionHook {
  const finest = finestAttention(config);
  return ({ p, kind, level, pixels, x, context, heads, attend }) => {
    if (kind === "cross") {
      if (text === undefined) return attend(x, context);
      const known = text(p.path, x.shape[2] as number);
      return attendTo(p, query(p, x, { heads }), known, { heads });
    }
    const side = Math.floor(cell / 2 ** (level - finest));
    return attend(x, side > 1 ? mergeTokens(context, pixels, side) : context);
  };
}
