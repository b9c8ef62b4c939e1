import { describe, expect, test } from "vitest";
import { CLIP_L_TEXT } from "../models/clip/config.js";
import { SD1_UNET, SD2_UNET } from "../models/unet/config.js";
import { SD_VAE } from "../models/vae/config.js";
import type { JsonObject } from "./configReader.js";
import { parseClipConfig, parseUNetConfig, parseVaeConfig } from "./diffusersConfig.js";

// As published: runwayml/stable-diffusion-v1-5 and stabilityai/stable-diffusion-2-1.
const SD15: JsonObject = {
  _class_name: "UNet2DConditionModel",
  _diffusers_version: "0.6.0",
  act_fn: "silu",
  attention_head_dim: 8,
  block_out_channels: [320, 640, 1280, 1280],
  center_input_sample: false,
  cross_attention_dim: 768,
  down_block_types: [
    "CrossAttnDownBlock2D",
    "CrossAttnDownBlock2D",
    "CrossAttnDownBlock2D",
    "DownBlock2D",
  ],
  downsample_padding: 1,
  flip_sin_to_cos: true,
  freq_shift: 0,
  in_channels: 4,
  layers_per_block: 2,
  mid_block_scale_factor: 1,
  norm_eps: 1e-5,
  norm_num_groups: 32,
  out_channels: 4,
  sample_size: 64,
  up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
};
const SD21: JsonObject = {
  ...SD15,
  _diffusers_version: "0.10.0.dev0",
  attention_head_dim: [5, 10, 20, 20],
  cross_attention_dim: 1024,
  dual_cross_attention: false,
  num_class_embeds: null,
  only_cross_attention: false,
  sample_size: 96,
  upcast_attention: true,
  use_linear_projection: true,
};

const unet = (changes: JsonObject) => parseUNetConfig({ ...SD15, ...changes }, "unet/config.json");
const vae = (json: JsonObject) => parseVaeConfig(json, "vae/config.json");

describe("unet/config.json", () => {
  test("as published", () => {
    expect(unet({})).toEqual({ config: SD1_UNET, problems: [] });
    const sd21 = parseUNetConfig(SD21, "c").config;
    expect(sd21).toEqual({ ...SD2_UNET, sampleSize: 96 });
  });

  test("absent and null options take diffusers' defaults", () => {
    const { config } = parseUNetConfig({ norm_eps: null }, "c");
    expect(config).toEqual({ ...SD1_UNET, crossAttentionDim: 1280 });
  });

  test("lists, one entry a level", () => {
    const { config } = unet({
      layers_per_block: [2, 2, 2, 2],
      transformer_layers_per_block: [1, 2, 3, 4],
      cross_attention_dim: [768, 768, 768, 768],
      sample_size: [64, 64],
    });
    expect(config).toEqual({ ...SD1_UNET, transformerLayers: [1, 2, 3, 4] });
  });

  test("a sample_size below 64 means 64 before diffusers 0.9, and itself later", () => {
    expect(unet({ sample_size: 32 }).config.sampleSize).toBe(64);
    expect(unet({ sample_size: 8, _diffusers_version: "0.21.0" }).config.sampleSize).toBe(8);
  });

  test("unknown options are named", () => {
    expect(unet({ foo: 1, bar: null }).problems).toEqual([
      "unet/config.json: unknown options foo, bar",
    ]);
  });

  test.each<[string, unknown, string]>([
    [
      "act_fn",
      "gelu",
      'act_fn is "gelu", which this version does not run. Supported: "silu", "swish".',
    ],
    ["class_embed_type", "timestep", 'class_embed_type is "timestep"'],
    ["addition_embed_type", "text_time", 'addition_embed_type is "text_time"'],
    ["num_class_embeds", 1000, "num_class_embeds is 1000"],
    ["num_attention_heads", 8, "num_attention_heads is 8"],
    ["dual_cross_attention", true, "dual_cross_attention is true"],
    [
      "only_cross_attention",
      [true, true, true, false],
      "only_cross_attention is [true,true,true,false]",
    ],
    ["resnet_time_scale_shift", "scale_shift", 'resnet_time_scale_shift is "scale_shift"'],
    ["time_cond_proj_dim", 256, "time_cond_proj_dim is 256"],
    ["mid_block_type", null, "mid_block_type is null"],
    ["encoder_hid_dim", 4096, "encoder_hid_dim is 4096"],
    ["layers_per_block", [2, 2, 2, 3], "layers_per_block is [2,2,2,3]"],
    ["down_block_types", ["AttnDownBlock2D"], 'down_block_types is "AttnDownBlock2D"'],
    ["down_block_types", ["toString"], 'down_block_types is "toString"'],
    ["up_block_types", ["UpBlock2D"], "do not mirror down_block_types"],
    ["sample_size", [64, 96], "sample_size is [64,96]"],
    [
      "block_out_channels",
      [320, 640],
      "block_out_channels: expected 4 numbers, one for each block, got [320,640]",
    ],
    [
      "block_out_channels",
      "320",
      'block_out_channels: expected a list of whole numbers, got "320"',
    ],
    ["in_channels", 0, "in_channels: expected a whole number from 1 to 65536, got 0"],
    ["in_channels", 4.5, "in_channels: expected a whole number from 1 to 65536, got 4.5"],
    [
      "attention_head_dim",
      [8, 8],
      "attention_head_dim: expected a whole number from 1 to 65536, or 4 of them, got [8,8]",
    ],
    ["flip_sin_to_cos", 1, "flip_sin_to_cos: expected true or false, got 1"],
    ["norm_eps", "x", 'norm_eps: expected a number, got "x"'],
    ["layers_per_block", 1e9, "layers_per_block: expected a whole number from 1 to 256"],
    [
      "norm_num_groups",
      7,
      "block_out_channels has 320, which does not divide into 7 parts, as norm_num_groups says.",
    ],
    [
      "attention_head_dim",
      [5, 9, 20, 20],
      "block_out_channels has 640, which does not divide into 9 parts",
    ],
    ["_class_name", "UNet3DConditionModel", '_class_name is "UNet3DConditionModel"'],
  ])("%s: %j is refused", (key, value, message) => {
    expect(() => unet({ [key]: value })).toThrow("unet/config.json: ");
    expect(() => unet({ [key]: value })).toThrow(message);
  });
});

describe("vae/config.json", () => {
  const blocks = {
    down_block_types: Array(4).fill("DownEncoderBlock2D"),
    up_block_types: Array(4).fill("UpDecoderBlock2D"),
    block_out_channels: [128, 256, 512, 512],
    layers_per_block: 2,
  };

  test("as published, scaling_factor by default", () => {
    const json = { _class_name: "AutoencoderKL", sample_size: 512, force_upcast: true, ...blocks };
    expect(vae(json)).toEqual({ config: SD_VAE, problems: [] });
  });

  test("absent options take diffusers' defaults", () => {
    expect(vae({}).config).toEqual({ ...SD_VAE, blockOutChannels: [64], layersPerBlock: 1 });
  });

  test("what the config knows", () => {
    const { config } = vae({
      ...blocks,
      scaling_factor: 0.5,
      shift_factor: null,
      mid_block_add_attention: false,
      use_quant_conv: false,
      use_post_quant_conv: false,
    });
    expect(config).toEqual({
      ...SD_VAE,
      scalingFactor: 0.5,
      midBlockAttention: false,
      useQuantConv: false,
      usePostQuantConv: false,
    });
  });

  test.each<[string, unknown, string]>([
    ["shift_factor", 0.0609, "shift_factor is 0.0609"],
    ["latents_mean", [0, 0, 0, 0], "latents_mean is [0,0,0,0]"],
    ["up_block_types", Array(4).fill("AttnUpDecoderBlock2D"), "up_block_types is"],
    ["down_block_types", ["DownEncoderBlock2D"], "down_block_types: expected 4 blocks"],
    ["_class_name", "AutoencoderTiny", '_class_name is "AutoencoderTiny"'],
  ])("%s: %j is refused", (key, value, message) => {
    expect(() => vae({ ...blocks, [key]: value })).toThrow(`vae/config.json: ${message}`);
  });
});

describe("text_encoder/config.json", () => {
  test("as published", () => {
    const json = {
      architectures: ["CLIPTextModel"],
      hidden_act: "quick_gelu",
      hidden_size: 768,
      intermediate_size: 3072,
      model_type: "clip_text_model",
      num_attention_heads: 12,
      num_hidden_layers: 12,
      projection_dim: 768,
    };
    expect(parseClipConfig(json, "c")).toEqual({ config: CLIP_L_TEXT, problems: [] });
  });

  test("another activation or model is refused", () => {
    expect(() => parseClipConfig({ hidden_act: "relu" }, "c")).toThrow('c: hidden_act is "relu"');
    expect(() => parseClipConfig({ model_type: "t5" }, "c")).toThrow('c: model_type is "t5"');
    expect(() => parseClipConfig({ hidden_size: 100 }, "c")).toThrow(
      "c: hidden_size has 100, which does not divide into 8 parts, as num_attention_heads says.",
    );
    expect(() => parseClipConfig({ num_hidden_layers: 1e9 }, "c")).toThrow("from 1 to 256");
  });
});
