import { silu } from "../../graph/composites.js";
import { mulDims } from "../../graph/dim.js";
import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import { multiHeadAttention, toPixels, toTokens } from "../../nn/attention.js";
import { conv2d, groupNorm } from "../../nn/layers.js";
import type { Params } from "../../nn/params.js";
import { resnetBlock } from "../../nn/resnet.js";
import { fineLevels, type VaeConfig } from "./config.js";

const EPS = 1e-6;

/*
 * Encoder and decoder are each two halves. The fine one, next to the pixels, is convolutions and
 * group norms alone, so that it can be worked on in tiles; the coarse one, next to the latents, has
 * the attention, and most of the weights.
 */

/**
 * AutoencoderKL's encoder: image [B,3,8h,8w] in [-1,1] -> mean and logvar [B,2*latentChannels,h,w],
 * logvar not yet clamped. Source: Rombach et al. 2022; diffusers AutoencoderKL.encode.
 */
export function vaeEncoder(p: Params, config: VaeConfig, image: Value): Value {
  return vaeEncoderCoarse(p, config, vaeEncoderFine(p, config, image));
}

/** The encoder's beginning: image [B,3,8h,8w] -> features [B,C,2h,2w], see `vaeFeatures`. */
export function vaeEncoderFine(p: Params, config: VaeConfig, image: Value): Value {
  const conv = p.at("encoder").at("conv_in");
  const h = conv2d(conv, image, config.blockOutChannels[0]!, 3);
  return downLevels(p, config, h, 0, fineLevels(config));
}

/** The encoder's rest: features [B,C,2h,2w] -> moments [B,2*latentChannels,h,w]. */
export function vaeEncoderCoarse(p: Params, config: VaeConfig, features: Value): Value {
  const { normNumGroups: groups, latentChannels, blockOutChannels } = config;
  const encoder = p.at("encoder");
  let h = downLevels(p, config, features, fineLevels(config), blockOutChannels.length);
  h = midBlock(encoder.at("mid_block"), config, h);
  h = silu(groupNorm(encoder.at("conv_norm_out"), h, groups, EPS));
  h = conv2d(encoder.at("conv_out"), h, 2 * latentChannels, 3);
  return config.useQuantConv ? conv2d(p.at("quant_conv"), h, 2 * latentChannels, 1) : h;
}

/**
 * AutoencoderKL's decoder: latents [B,latentChannels,h,w], already divided by the scaling factor ->
 * image [B,3,8h,8w], about [-1,1]. Source: diffusers AutoencoderKL.decode.
 */
export function vaeDecoder(p: Params, config: VaeConfig, latents: Value): Value {
  return vaeDecoderFine(p, config, vaeDecoderCoarse(p, config, latents));
}

/** The decoder's beginning: latents [B,latentChannels,h,w] -> features [B,C,2h,2w]. */
export function vaeDecoderCoarse(p: Params, config: VaeConfig, latents: Value): Value {
  const { blockOutChannels, latentChannels, usePostQuantConv } = config;
  const decoder = p.at("decoder");
  let h = usePostQuantConv ? conv2d(p.at("post_quant_conv"), latents, latentChannels, 1) : latents;
  h = conv2d(decoder.at("conv_in"), h, blockOutChannels.at(-1)!, 3);
  h = midBlock(decoder.at("mid_block"), config, h);
  return upLevels(p, config, h, 0, blockOutChannels.length - fineLevels(config));
}

/** The decoder's rest: features [B,C,2h,2w], see `vaeFeatures` -> image [B,3,8h,8w]. */
export function vaeDecoderFine(p: Params, config: VaeConfig, features: Value): Value {
  const { blockOutChannels, normNumGroups: groups, outChannels } = config;
  const levels = blockOutChannels.length;
  const decoder = p.at("decoder");
  let h = upLevels(p, config, features, levels - fineLevels(config), levels);
  h = silu(groupNorm(decoder.at("conv_norm_out"), h, groups, EPS));
  return conv2d(decoder.at("conv_out"), h, outChannels, 3);
}

/** Levels [from, to) of the encoder, counted from the pixels. Each but the last halves the size. */
function downLevels(p: Params, config: VaeConfig, x: Value, from: number, to: number): Value {
  const { blockOutChannels, layersPerBlock, normNumGroups: groups } = config;
  let h = x;
  for (let level = from; level < to; level++) {
    const channels = blockOutChannels[level]!;
    const block = p.at("encoder.down_blocks").at(level);
    for (let i = 0; i < layersPerBlock; i++) {
      h = resnetBlock(block.at("resnets").at(i), h, undefined, channels, { groups, eps: EPS });
    }
    if (level + 1 < blockOutChannels.length) {
      const padding = [0, 0, 1, 1] as const; // below and to the right only
      h = conv2d(block.at("downsamplers.0.conv"), h, channels, 3, { stride: 2, padding });
    }
  }
  return h;
}

/** Levels [from, to) of the decoder, counted from the latents. Each but the first doubles the size. */
function upLevels(p: Params, config: VaeConfig, x: Value, from: number, to: number): Value {
  const { layersPerBlock, normNumGroups: groups } = config;
  const blocks = p.at("decoder.up_blocks");
  const widths = [...config.blockOutChannels].reverse();
  let h = x;
  for (let level = from; level < to; level++) {
    if (level > 0) {
      const conv = blocks.at(level - 1).at("upsamplers.0.conv");
      h = op.resizeNearest(h, mulDims(2, h.shape[2]!), mulDims(2, h.shape[3]!));
      h = conv2d(conv, h, widths[level - 1]!, 3);
    }
    const resnets = blocks.at(level).at("resnets");
    for (let i = 0; i <= layersPerBlock; i++) {
      h = resnetBlock(resnets.at(i), h, undefined, widths[level]!, { groups, eps: EPS });
    }
  }
  return h;
}

/** ResNet block, single-head self-attention over all pixels, ResNet block. */
function midBlock(p: Params, config: VaeConfig, x: Value): Value {
  const norm = { groups: config.normNumGroups, eps: EPS };
  const channels = x.shape[1] as number;
  let h = resnetBlock(p.at("resnets.0"), x, undefined, channels, norm);
  if (config.midBlockAttention) {
    const attn = p.at("attentions.0");
    const tokens = toTokens(groupNorm(attn.at("group_norm"), h, norm.groups, EPS));
    const mixed = multiHeadAttention(attn, tokens, tokens, { heads: 1, qkvBias: true });
    h = op.add(toPixels(mixed, h), h);
  }
  return resnetBlock(p.at("resnets.1"), h, undefined, channels, norm);
}
