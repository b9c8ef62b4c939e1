import { silu } from "../../graph/composites.js";
import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import { conv2d, groupNorm, linear } from "../../nn/layers.js";
import { type Params, zeroed } from "../../nn/params.js";
import { resnetBlock } from "../../nn/resnet.js";
import { timestepEmbedding } from "../../nn/timestep.js";
import type { UNetConfig } from "./config.js";
import { type AttentionHook, transformer2d } from "./transformer.js";

/** What the UNet is told beside the noisy latents. */
export interface UNetInputs {
  /** Noisy latents [B,inChannels,h,w], any h and w. */
  readonly x: Value;
  /** Timesteps [B], fractional where a schedule interpolates. */
  readonly t: Value;
  /** Hidden states of the text encoder [B,N,crossAttentionDim]. */
  readonly context: Value;
}

/** Places where other networks reach into the UNet. All are optional and do nothing by default. */
export interface UNetHooks {
  /** Added to the skip connections, conv_in's first, and to the middle (ControlNet, T2I-Adapter). */
  readonly residuals?: { readonly skips: readonly Value[]; readonly middle: Value };
  /** Around every attention layer (IP-Adapter, token merging). */
  readonly attention?: AttentionHook;
  /** After every ResNet block with its transformer, by its path (motion modules, feature reuse). */
  readonly block?: (path: string, h: Value) => Value;
  /** Added to the time embedding [B,4*blockOutChannels[0]] (class, size, noise level). */
  readonly embedding?: (p: Params) => Value;
}

interface Context {
  readonly config: UNetConfig;
  readonly temb: Value;
  readonly text: Value;
  readonly hooks: UNetHooks;
}

/**
 * The denoising UNet -> raw prediction [B,outChannels,h,w] (eps, v or x0, as it was trained).
 * Source: Rombach et al. 2022; diffusers UNet2DConditionModel.
 */
export function unet(
  p: Params,
  config: UNetConfig,
  { x, t, context }: UNetInputs,
  hooks: UNetHooks = {},
): Value {
  const { blocks, blockOutChannels } = config;
  const c: Context = { config, temb: timeEmbedding(p, config, t, hooks), text: context, hooks };

  let h = conv2d(p.at("conv_in"), x, blockOutChannels[0]!, 3);
  let skips: Value[] = [h];
  blocks.forEach((_, level) => {
    h = downBlock(p.at("down_blocks").at(level), c, level, h, skips);
  });

  h = middleBlock(p.at("mid_block"), c, h);
  if (hooks.residuals) {
    const { skips: extra, middle } = hooks.residuals;
    h = op.add(h, middle);
    skips = skips.map((skip, i) => op.add(skip, extra[i]!));
  }

  [...blocks.keys()].reverse().forEach((level, i) => {
    h = upBlock(p.at("up_blocks").at(i), c, level, h, skips);
  });
  h = silu(groupNorm(p.at("conv_norm_out"), h, config.normNumGroups, config.normEps));
  return conv2d(zeroed(p.at("conv_out")), h, config.outChannels, 3);
}

/** Timesteps [B] -> [B, 4 * blockOutChannels[0]]. */
function timeEmbedding(p: Params, config: UNetConfig, t: Value, hooks: UNetHooks): Value {
  const width = config.blockOutChannels[0]!;
  const mlp = p.at("time_embedding");
  const inner = silu(linear(mlp.at("linear_1"), timestepEmbedding(t, width, config), 4 * width));
  const temb = linear(mlp.at("linear_2"), inner, 4 * width);
  return hooks.embedding ? op.add(temb, hooks.embedding(p)) : temb;
}

/** One ResNet block, and a transformer where the level has them. */
function layer(
  p: Params,
  c: Context,
  { level, index, attend }: { level: number; index: number; attend: boolean },
  x: Value,
): Value {
  const { config } = c;
  const norm = { groups: config.normNumGroups, eps: config.normEps, zeroLast: true };
  const channels = config.blockOutChannels[level]!;
  let h = resnetBlock(p.at("resnets").at(index), x, c.temb, channels, norm);
  if (attend) {
    h = transformer2d(p.at("attentions").at(index), h, c.text, {
      heads: config.heads[level]!,
      layers: config.transformerLayers[level]!,
      groups: config.normNumGroups,
      linearProjection: config.useLinearProjection,
      hook: c.hooks.attention,
    });
  }
  return c.hooks.block?.(`${p.path}.${index}`, h) ?? h;
}

function downBlock(p: Params, c: Context, level: number, x: Value, skips: Value[]): Value {
  const { blocks, blockOutChannels, layersPerBlock } = c.config;
  const attend = blocks[level] === "crossAttention";
  let h = x;
  for (let index = 0; index < layersPerBlock; index++) {
    h = layer(p, c, { level, index, attend }, h);
    skips.push(h);
  }
  if (level + 1 < blocks.length) {
    h = conv2d(p.at("downsamplers.0.conv"), h, blockOutChannels[level]!, 3, { stride: 2 });
    skips.push(h);
  }
  return h;
}

function middleBlock(p: Params, c: Context, x: Value): Value {
  const level = c.config.blocks.length - 1;
  const h = layer(p, c, { level, index: 0, attend: true }, x);
  return layer(p, c, { level, index: 1, attend: false }, h);
}

/** Mirrors downBlock: takes one skip a ResNet block, then grows to the next skip's size. */
function upBlock(p: Params, c: Context, level: number, x: Value, skips: Value[]): Value {
  const { blocks, blockOutChannels, layersPerBlock } = c.config;
  const attend = blocks[level] === "crossAttention";
  let h = x;
  for (let index = 0; index <= layersPerBlock; index++) {
    h = layer(p, c, { level, index, attend }, op.concat([h, skips.pop()!], 1));
  }
  if (level > 0) {
    const [, , height, width] = skips.at(-1)!.shape;
    h = op.resizeNearest(h, height!, width!);
    h = conv2d(p.at("upsamplers.0.conv"), h, blockOutChannels[level]!, 3);
  }
  return h;
}
