import { silu } from "../../graph/composites.js";
import { sameDim } from "../../graph/dim.js";
import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import { conv2d, groupNorm, linear } from "../../nn/layers.js";
import { type Params, zeroed } from "../../nn/params.js";
import { resnetBlock } from "../../nn/resnet.js";
import { timestepEmbedding } from "../../nn/timestep.js";
import { placeOf, skipCount, type UNetConfig } from "./config.js";
import { type AttentionHook, type ByText, transformer2d } from "./transformer.js";

/** What the UNet is told beside the noisy latents. */
export interface UNetInputs {
  /** Noisy latents of P pictures [P,inChannels,h,w], any h and w. */
  readonly x: Value;
  /** Timesteps [P], fractional where a schedule interpolates. */
  readonly t: Value;
  /** Hidden states of the text encoder for B texts [B,N,crossAttentionDim]. */
  readonly context: Value;
  /**
   * Which picture each text is about: whole numbers [B]. What comes before any text is looked at is worked
   * out once a picture. Without it, each text has a picture of its own, in order: P = B.
   */
  readonly picture?: Value | undefined;
}

/** Places where other networks reach into the UNet. All are optional and do nothing by default. */
export interface UNetHooks {
  /** Added to the skip connections, conv_in's first, and to the middle (ControlNet, T2I-Adapter). */
  readonly residuals?: { readonly skips: readonly Value[]; readonly middle: Value };
  /** Around every attention layer (IP-Adapter, token merging). */
  readonly attention?: AttentionHook | undefined;
  /** After every ResNet block with its transformer, by its path (motion modules). */
  readonly block?: (path: string, h: Value) => Value;
  /** Added to the time embedding [B,4*blockOutChannels[0]] (class, size, noise level). */
  readonly embedding?: (p: Params) => Value;
}

/** What every layer of the UNet is told. */
interface Context {
  readonly config: UNetConfig;
  /** Time embedding [P,4*blockOutChannels[0]]. */
  readonly temb: Value;
  readonly text: Value;
  readonly hooks: UNetHooks;
  readonly byText: ByText;
}

/** What goes from the way down to the way up. */
export interface ShallowFeatures {
  /** Time embedding [P,4*blockOutChannels[0]]. */
  readonly temb: Value;
  /** The first skip connections, conv_in's first: by picture as long as no text was looked at, then by text. */
  readonly skips: readonly Value[];
}

/** The texts of a part, and which picture each is about. */
type Texts = Pick<UNetInputs, "context" | "picture">;

/** From values by picture [P,...] to values by text [B,...], which stay as they are; each is made once. */
function spreading({ context, picture }: Texts): ByText {
  const known = new Map<Value, Value>();
  return (v) => {
    if (!picture || sameDim(v.shape[0]!, context.shape[0]!)) return v;
    const spread = known.get(v) ?? op.gather(v, picture);
    known.set(v, spread);
    return spread;
  };
}

function contextOf(
  config: UNetConfig,
  temb: Value,
  { context, picture }: Texts,
  hooks: UNetHooks,
): Context {
  return { config, temb, text: context, hooks, byText: spreading({ context, picture }) };
}

/**
 * The denoising UNet -> raw prediction [B,outChannels,h,w] (eps, v or x0, as it was trained).
 * Source: Rombach et al. 2022; diffusers UNet2DConditionModel.
 */
export function unet(
  p: Params,
  config: UNetConfig,
  inputs: UNetInputs,
  hooks: UNetHooks = {},
): Value {
  const branch = 0; // the parts make the same whole wherever it is cut
  const shallow = shallowDown(p, config, inputs, branch, hooks);
  const { context, picture } = inputs;
  const features = deep(p, config, { ...shallow, context, picture }, branch, hooks);
  return shallowUp(p, config, { ...shallow, features, context, picture }, branch, hooks);
}

/*
 * The UNet in three parts, cut at one of its skip connections: the way down to skip `branch`, all that
 * is deeper, and the way up from there. What is deep changes little from one step to the next (Ma et
 * al. 2023, DeepCache), and is most of the work.
 */

/** The way down, as far as skip connection `branch`, counted from conv_in's, 0. */
export function shallowDown(
  p: Params,
  config: UNetConfig,
  { x, t, ...texts }: UNetInputs,
  branch: number,
  hooks: UNetHooks = {},
): ShallowFeatures {
  const temb = timeEmbedding(p, config, t, hooks);
  const first = conv2d(p.at("conv_in"), x, config.blockOutChannels[0]!, 3);
  const c = contextOf(config, temb, texts, hooks);
  return { temb, skips: [first, ...down(p, c, first, 1, branch + 1)] };
}

/**
 * What lies deeper than skip connection `branch`: from the last of `skips` to what the way up joins
 * with it.
 */
export function deep(
  p: Params,
  config: UNetConfig,
  { temb, skips, ...texts }: ShallowFeatures & Texts,
  branch: number,
  hooks: UNetHooks = {},
): Value {
  const c = contextOf(config, temb, texts, hooks);
  const h = skips.at(-1)!;
  const all = [...skips, ...down(p, c, h, branch + 1, skipCount(config))];
  const middle = middleBlock(p.at("mid_block"), c, all.at(-1)!);
  const { residuals } = hooks;
  return up(p, c, residuals ? op.add(middle, residuals.middle) : middle, all, branch + 1);
}

/** The way up from where skip connection `branch` joins the deep features -> raw prediction. */
export function shallowUp(
  p: Params,
  config: UNetConfig,
  { temb, skips, features, ...texts }: ShallowFeatures & Texts & { readonly features: Value },
  branch: number,
  hooks: UNetHooks = {},
): Value {
  const c = contextOf(config, temb, texts, hooks);
  let h = up(p, c, features, skips.slice(0, branch + 1), 0);
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
  const { config, temb, byText } = c;
  const norm = { groups: config.normNumGroups, eps: config.normEps, zeroLast: true };
  const channels = config.blockOutChannels[level]!;
  const time = sameDim(x.shape[0]!, temb.shape[0]!) ? temb : byText(temb);
  let h = resnetBlock(p.at("resnets").at(index), x, time, channels, norm);
  if (attend) {
    h = transformer2d(p.at("attentions").at(index), h, c.text, {
      level,
      heads: config.heads[level]!,
      layers: config.transformerLayers[level]!,
      groups: config.normNumGroups,
      linearProjection: config.useLinearProjection,
      hook: c.hooks.attention,
      byText,
    });
  }
  return c.hooks.block?.(`${p.path}.${index}`, h) ?? h;
}

/** Skip connections [from, to) on the way down, each from the one before it. */
function down(p: Params, c: Context, before: Value, from: number, to: number): Value[] {
  const { blocks, blockOutChannels } = c.config;
  const skips: Value[] = [];
  let h = before;
  for (let skip = from; skip < to; skip++) {
    const { level, place } = placeOf(c.config, skip);
    if (place === 0) {
      const sampler = p
        .at("down_blocks")
        .at(level - 1)
        .at("downsamplers.0.conv");
      h = conv2d(sampler, h, blockOutChannels[level - 1]!, 3, { stride: 2 });
    } else {
      const attend = blocks[level] === "crossAttention";
      h = layer(p.at("down_blocks").at(level), c, { level, index: place - 1, attend }, h);
    }
    skips.push(h);
  }
  return skips;
}

function middleBlock(p: Params, c: Context, x: Value): Value {
  const level = c.config.blocks.length - 1;
  const h = layer(p, c, { level, index: 0, attend: true }, x);
  return layer(p, c, { level, index: 1, attend: false }, h);
}

/** Mirrors `down`: joins the skips, the last one first, until only the first `rest` are left. */
function up(p: Params, c: Context, x: Value, skips: readonly Value[], rest: number): Value {
  const { blocks, blockOutChannels, layersPerBlock } = c.config;
  const extra = c.hooks.residuals?.skips;
  let h = x;
  for (let skip = skips.length - 1; skip >= rest; skip--) {
    const { level, place } = placeOf(c.config, skip);
    const block = p.at("up_blocks").at(blocks.length - 1 - level);
    const own = c.byText(skips[skip]!);
    const beside = extra ? op.add(own, extra[skip]!) : own;
    const attend = blocks[level] === "crossAttention";
    const index = layersPerBlock - place;
    h = layer(block, c, { level, index, attend }, op.concat([h, beside], 1));
    if (place === 0 && level > 0) {
      const [, , height, width] = skips[skip - 1]!.shape;
      h = op.resizeNearest(h, height!, width!);
      h = conv2d(block.at("upsamplers.0.conv"), h, blockOutChannels[level]!, 3);
    }
  }
  return h;
}
