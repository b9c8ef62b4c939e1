import type { ClipTextConfig } from "../models/clip/config.js";
import type { UNetBlock, UNetConfig } from "../models/unet/config.js";
import type { VaeConfig } from "../models/vae/config.js";
import { counted } from "../util/counted.js";
import { TintypeError } from "../util/errors.js";
import {
  type ConfigReader,
  configReader,
  type JsonObject,
  show,
  unsupported,
} from "./configReader.js";

/** A component's config, and the options of its file that were passed over. */
export interface ParsedConfig<C> {
  readonly config: C;
  readonly problems: readonly string[];
}

type Table = Readonly<Record<string, readonly unknown[]>>;

/** Options of UNet2DConditionModel that run with these values only. */
const UNET_ONLY: Table = {
  _class_name: ["UNet2DConditionModel"],
  act_fn: ["silu", "swish"],
  addition_embed_type: [null],
  attention_type: ["default"],
  center_input_sample: [false],
  class_embed_type: [null],
  class_embeddings_concat: [false],
  conv_in_kernel: [3],
  conv_out_kernel: [3],
  cross_attention_norm: [null],
  downsample_padding: [1],
  dual_cross_attention: [false],
  encoder_hid_dim: [null],
  encoder_hid_dim_type: [null],
  mid_block_only_cross_attention: [null, false],
  mid_block_scale_factor: [1],
  mid_block_type: ["UNetMidBlock2DCrossAttn"],
  num_attention_heads: [null],
  num_class_embeds: [null],
  only_cross_attention: [false],
  resnet_out_scale_factor: [1],
  resnet_skip_time_act: [false],
  resnet_time_scale_shift: ["default"],
  reverse_transformer_layers_per_block: [null],
  time_cond_proj_dim: [null],
  time_embedding_act_fn: [null],
  time_embedding_dim: [null],
  time_embedding_type: ["positional"],
  timestep_post_act: [null],
};

/** Options without effect on the pictures, or only beside others that are refused. */
const UNET_IGNORED = [
  "_diffusers_version",
  "_name_or_path",
  "addition_embed_type_num_heads",
  "addition_time_embed_dim",
  "dropout",
  "projection_class_embeddings_input_dim",
  "upcast_attention",
];

const DOWN_BLOCKS: Readonly<Record<string, UNetBlock>> = {
  DownBlock2D: "resnet",
  CrossAttnDownBlock2D: "crossAttention",
};

const UP_BLOCKS: Readonly<Record<string, UNetBlock>> = {
  UpBlock2D: "resnet",
  CrossAttnUpBlock2D: "crossAttention",
};

/** Block names of one direction as the config knows them. */
function blockTypes(
  reader: ConfigReader,
  key: string,
  types: Readonly<Record<string, UNetBlock>>,
  fallback: readonly string[],
): readonly UNetBlock[] {
  return reader.strings(key, fallback).map((name) => {
    const block = Object.hasOwn(types, name) ? types[name] : undefined;
    if (block === undefined) throw unsupported(reader.file, key, name, Object.keys(types));
    return block;
  });
}

/** The levels of a UNet, whose way up must mirror its way down. */
function unetBlocks(reader: ConfigReader): readonly UNetBlock[] {
  const down = blockTypes(reader, "down_block_types", DOWN_BLOCKS, [
    ...Array<string>(3).fill("CrossAttnDownBlock2D"),
    "DownBlock2D",
  ]);
  const up = blockTypes(reader, "up_block_types", UP_BLOCKS, [
    "UpBlock2D",
    ...Array<string>(3).fill("CrossAttnUpBlock2D"),
  ]);
  if (up.length === down.length && up.every((b, i) => b === down.at(-1 - i))) return down;
  throw new TintypeError(
    "unsupported",
    `${reader.file}: up_block_types ${show(up)} do not mirror down_block_types ${show(down)}, ` +
      "which this version does not run.",
  );
}

/** The one value of an option that diffusers takes a level, when all levels agree. */
function uniform(reader: ConfigReader, key: string, values: readonly number[]): number {
  if (values.every((v) => v === values[0])) return values[0]!;
  throw unsupported(reader.file, key, values, ["the same number for every level"]);
}

/** Throws "bad-file" where some of `widths` do not divide into as many parts as `parts` says. */
function checkDivides(
  file: string,
  [key, widths]: readonly [string, readonly number[]],
  [partsKey, parts]: readonly [string, readonly number[]],
): void {
  const odd = widths.findIndex((width, i) => width % (parts[i] ?? parts[0]!) !== 0);
  if (odd < 0) return;
  throw new TintypeError(
    "bad-file",
    `${file}: ${key} has ${widths[odd]}, which does not divide into ` +
      `${parts[odd] ?? parts[0]} parts, as ${partsKey} says.`,
  );
}

/** A list with an entry for each level. */
function levelList(reader: ConfigReader, key: string, levels: number, fallback: readonly number[]) {
  const list = reader.ints(key, fallback);
  if (list.length === levels) return list;
  throw new TintypeError(
    "bad-file",
    `${reader.file}: ${key}: expected ${counted(levels, "number")}, one for each block, got ${show(list)}.`,
  );
}

/**
 * The side of the training latents. Files of before diffusers 0.9 say 32 where they mean 64.
 * Source: diffusers pipeline_stable_diffusion.py.
 */
function sampleSize(reader: ConfigReader, json: JsonObject): number {
  const value = json.sample_size;
  if (Array.isArray(value)) {
    const sides = reader.ints("sample_size", []);
    if (sides.length === 2 && sides[0] === sides[1]) return sides[0]!;
    throw unsupported(reader.file, "sample_size", value, ["one number", "two equal ones"]);
  }
  const size = reader.int("sample_size", 64);
  const version = /^0\.(\d+)\./.exec(String(json._diffusers_version ?? ""));
  return version !== null && Number(version[1]) < 9 && size < 64 ? 64 : size;
}

/** Options that nothing read, as diffusers too passes over them. */
function passedOver(reader: ConfigReader, ignored: readonly string[]): readonly string[] {
  const unknown = reader.unread().filter((key) => !ignored.includes(key));
  return unknown.length === 0 ? [] : [`${reader.file}: unknown options ${unknown.join(", ")}`];
}

/** UNetConfig of a diffusers `unet/config.json`. Throws "unsupported" for what it cannot express. */
export function parseUNetConfig(json: JsonObject, file: string): ParsedConfig<UNetConfig> {
  const reader = configReader(json, file);
  reader.only(UNET_ONLY);
  const blocks = unetBlocks(reader);
  const levels = blocks.length;
  const config: UNetConfig = {
    sampleSize: sampleSize(reader, json),
    inChannels: reader.int("in_channels", 4),
    outChannels: reader.int("out_channels", 4),
    blocks,
    blockOutChannels: levelList(reader, "block_out_channels", levels, [320, 640, 1280, 1280]),
    layersPerBlock: uniform(
      reader,
      "layers_per_block",
      reader.layersPerLevel("layers_per_block", levels, 2),
    ),
    // What diffusers calls attention_head_dim is the number of heads (its issue 2011).
    heads: reader.perLevel("attention_head_dim", levels, 8),
    transformerLayers: reader.layersPerLevel("transformer_layers_per_block", levels, 1),
    crossAttentionDim: uniform(
      reader,
      "cross_attention_dim",
      reader.perLevel("cross_attention_dim", levels, 1280),
    ),
    useLinearProjection: reader.bool("use_linear_projection", false),
    normNumGroups: reader.int("norm_num_groups", 32),
    normEps: reader.number("norm_eps", 1e-5),
    flipSinToCos: reader.bool("flip_sin_to_cos", true),
    freqShift: reader.int("freq_shift", 0, 0),
  };
  const widths = ["block_out_channels", config.blockOutChannels] as const;
  checkDivides(file, widths, ["norm_num_groups", [config.normNumGroups]]);
  checkDivides(file, widths, ["attention_head_dim", config.heads]);
  return { config, problems: passedOver(reader, UNET_IGNORED) };
}

/** Options of AutoencoderKL that run with these values only. */
const VAE_ONLY: Table = {
  _class_name: ["AutoencoderKL"],
  act_fn: ["silu", "swish"],
  latents_mean: [null],
  latents_std: [null],
  shift_factor: [null, 0],
};

const VAE_IGNORED = ["_diffusers_version", "_name_or_path", "force_upcast", "sample_size"];

/** VaeConfig of a diffusers `vae/config.json`. Throws "unsupported" for what it cannot express. */
export function parseVaeConfig(json: JsonObject, file: string): ParsedConfig<VaeConfig> {
  const reader = configReader(json, file);
  reader.only(VAE_ONLY);
  const blockOutChannels = reader.ints("block_out_channels", [64]);
  for (const [key, name] of [
    ["down_block_types", "DownEncoderBlock2D"],
    ["up_block_types", "UpDecoderBlock2D"],
  ] as const) {
    const types = reader.strings(key, [name]);
    if (types.some((type) => type !== name)) throw unsupported(file, key, types, [name]);
    if (types.length !== blockOutChannels.length) {
      throw new TintypeError(
        "bad-file",
        `${file}: ${key}: expected ${counted(blockOutChannels.length, "block")}, as block_out_channels has, ` +
          `got ${types.length}.`,
      );
    }
  }
  const config: VaeConfig = {
    inChannels: reader.int("in_channels", 3),
    outChannels: reader.int("out_channels", 3),
    latentChannels: reader.int("latent_channels", 4),
    blockOutChannels,
    layersPerBlock: reader.layers("layers_per_block", 1),
    normNumGroups: reader.int("norm_num_groups", 32),
    scalingFactor: reader.number("scaling_factor", 0.18215),
    midBlockAttention: reader.bool("mid_block_add_attention", true),
    useQuantConv: reader.bool("use_quant_conv", true),
    usePostQuantConv: reader.bool("use_post_quant_conv", true),
  };
  const widths = ["block_out_channels", blockOutChannels] as const;
  checkDivides(file, widths, ["norm_num_groups", [config.normNumGroups]]);
  return { config, problems: passedOver(reader, VAE_IGNORED) };
}

/**
 * ClipTextConfig of a transformers `text_encoder/config.json`; other options are the tokenizer's or
 * training's. Throws "unsupported" for what it cannot express.
 */
export function parseClipConfig(json: JsonObject, file: string): ParsedConfig<ClipTextConfig> {
  const reader = configReader(json, file);
  reader.only({ model_type: ["clip_text_model"] });
  const config: ClipTextConfig = {
    vocabSize: reader.int("vocab_size", 49408),
    hiddenSize: reader.int("hidden_size", 512),
    intermediateSize: reader.int("intermediate_size", 2048),
    layers: reader.layers("num_hidden_layers", 12),
    heads: reader.int("num_attention_heads", 8),
    maxPositions: reader.int("max_position_embeddings", 77),
    activation: reader.oneOf("hidden_act", ["quick_gelu", "gelu"], "quick_gelu"),
    layerNormEps: reader.number("layer_norm_eps", 1e-5),
  };
  const heads = ["num_attention_heads", [config.heads]] as const;
  checkDivides(file, ["hidden_size", [config.hiddenSize]], heads);
  return { config, problems: [] };
}
