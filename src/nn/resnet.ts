import { silu } from "../graph/composites.js";
import * as op from "../graph/ops.js";
import type { Value } from "../graph/value.js";
import { conv2d, groupNorm, linear } from "./layers.js";
import { type Params, zeroed } from "./params.js";

/** Settings of the group norms of a block, and how it starts. */
export interface ResnetOptions {
  readonly groups: number;
  readonly eps: number;
  /** Whether the second convolution starts as zeros, so that the block starts as its shortcut. */
  readonly zeroLast?: boolean;
}

/**
 * ResNet block: x [B,C,H,W], time embedding [B,T] or none -> [B,outChannels,H,W].
 * Source: He et al. 2015; diffusers ResnetBlock2D.
 */
export function resnetBlock(
  p: Params,
  x: Value,
  temb: Value | undefined,
  outChannels: number,
  { groups, eps, zeroLast = false }: ResnetOptions,
): Value {
  let h = conv2d(p.at("conv1"), silu(groupNorm(p.at("norm1"), x, groups, eps)), outChannels, 3);
  if (temb) {
    const shift = linear(p.at("time_emb_proj"), silu(temb), outChannels);
    h = op.add(h, op.reshape(shift, [shift.shape[0]!, outChannels, 1, 1]));
  }
  const last = p.at("conv2");
  h = conv2d(
    zeroLast ? zeroed(last) : last,
    silu(groupNorm(p.at("norm2"), h, groups, eps)),
    outChannels,
    3,
  );
  const same = x.shape[1] === outChannels;
  return op.add(same ? x : conv2d(p.at("conv_shortcut"), x, outChannels, 1), h);
}
