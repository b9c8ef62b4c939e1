import { silu } from "../../graph/composites.js";
import { mulDims } from "../../graph/dim.js";
import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import { multiHeadAttention, toPixels, toTokens } from "../../nn/attention.js";
import { conv2d, groupNorm } from "../../nn/layers.js";
import type { Params } from "../../nn/params.js";
import { resnetBlock } from "../../nn/resnet.js";
import type { VaeConfig } from "./config.js";

const EPS = 1e-6;

/**
 * AutoencoderKL's encoder: image [B,3,8h,8w] in [-1,1] -> mean and logvar [B,2*latentChannels,h,w],
 * logvar not yet clamped. Source: Rombach et al. 2022; diffusers AutoencoderKL.encode.
 */
export function vaeEncoder(p: Params, config: VaeConfig, image: Value): Value {
  const { blockOutChannels, layersPerBlock, normNumGroups: groups, latentChannels } = config;
  const encoder = p.at("encoder");
  let h = conv2d(encoder.at("conv_in"), image, blockOutChannels[0]!, 3);
  blockOutChannels.forEach((channels, level) => {
    const block = encoder.at("down_blocks").at(level);
    for (let i = 0; i < layersPerBlock; i++) {
      h = resnetBlock(block.at("resnets").at(i), h, undefined, channels, { groups, eps: EPS });
    }
    if (level + 1 < blockOutChannels.length) {
      const padding = [0, 0, 1, 1] as const; // below and to the right only
      h = conv2d(block.at("downsamplers.0.conv"), h, channels, 3, { stride: 2, padding });
    }
  });
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
  const { blockOutChannels, layersPerBlock, normNumGroups: groups, latentChannels } = config;
  const decoder = p.at("decoder");
  const coarsest = blockOutChannels.at(-1)!;
  let h = config.usePostQuantConv
    ? conv2d(p.at("post_quant_conv"), latents, latentChannels, 1)
    : latents;
  h = conv2d(decoder.at("conv_in"), h, coarsest, 3);
  h = midBlock(decoder.at("mid_block"), config, h);
  [...blockOutChannels].reverse().forEach((channels, level) => {
    const block = decoder.at("up_blocks").at(level);
    for (let i = 0; i <= layersPerBlock; i++) {
      h = resnetBlock(block.at("resnets").at(i), h, undefined, channels, { groups, eps: EPS });
    }
    if (level + 1 < blockOutChannels.length) {
      h = op.resizeNearest(h, mulDims(2, h.shape[2]!), mulDims(2, h.shape[3]!));
      h = conv2d(block.at("upsamplers.0.conv"), h, channels, 3);
    }
  });
  h = silu(groupNorm(decoder.at("conv_norm_out"), h, groups, EPS));
  return conv2d(decoder.at("conv_out"), h, config.outChannels, 3);
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
