import type { ClipConfig, ClipTextConfig } from "../models/clip/config.js";
import type { UNetConfig } from "../models/unet/config.js";
import type { VaeConfig } from "../models/vae/config.js";
import type { JsonObject } from "./configReader.js";

/*
 * Configs as the config.json files of a diffusers folder: what diffusers and transformers need to
 * build the same networks. The way back is diffusersConfig.ts.
 */

/** unet/config.json */
export function unetConfigJson(config: UNetConfig): JsonObject {
  const up = [...config.blocks].reverse();
  return {
    _class_name: "UNet2DConditionModel",
    act_fn: "silu",
    attention_head_dim: [...config.heads], // diffusers' name for the number of heads
    block_out_channels: [...config.blockOutChannels],
    cross_attention_dim: config.crossAttentionDim,
    down_block_types: config.blocks.map((b) =>
      b === "crossAttention" ? "CrossAttnDownBlock2D" : "DownBlock2D",
    ),
    flip_sin_to_cos: config.flipSinToCos,
    freq_shift: config.freqShift,
    in_channels: config.inChannels,
    layers_per_block: config.layersPerBlock,
    norm_eps: config.normEps,
    norm_num_groups: config.normNumGroups,
    out_channels: config.outChannels,
    sample_size: config.sampleSize,
    transformer_layers_per_block: [...config.transformerLayers],
    up_block_types: up.map((b) => (b === "crossAttention" ? "CrossAttnUpBlock2D" : "UpBlock2D")),
    use_linear_projection: config.useLinearProjection,
  };
}

/** vae/config.json; `sampleSize` is the side of the training pictures. */
export function vaeConfigJson(config: VaeConfig, sampleSize: number): JsonObject {
  const levels = config.blockOutChannels.length;
  return {
    _class_name: "AutoencoderKL",
    act_fn: "silu",
    block_out_channels: [...config.blockOutChannels],
    down_block_types: Array<string>(levels).fill("DownEncoderBlock2D"),
    in_channels: config.inChannels,
    latent_channels: config.latentChannels,
    layers_per_block: config.layersPerBlock,
    mid_block_add_attention: config.midBlockAttention,
    norm_num_groups: config.normNumGroups,
    out_channels: config.outChannels,
    sample_size: sampleSize,
    scaling_factor: config.scalingFactor,
    up_block_types: Array<string>(levels).fill("UpDecoderBlock2D"),
    use_post_quant_conv: config.usePostQuantConv,
    use_quant_conv: config.useQuantConv,
  };
}

/** text_encoder/config.json; start and end are the tokenizer's token ids. */
export function clipConfigJson(
  config: ClipTextConfig,
  tokens: { readonly start: number; readonly end: number },
): JsonObject {
  return {
    architectures: ["CLIPTextModel"],
    model_type: "clip_text_model",
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    max_position_embeddings: config.maxPositions,
    hidden_act: config.activation,
    layer_norm_eps: config.layerNormEps,
    bos_token_id: tokens.start,
    eos_token_id: tokens.end,
    pad_token_id: tokens.end,
  };
}

/** config.json of a CLIPModel; start and end are the tokenizer's token ids. */
export function clipModelConfigJson(
  { text, vision, projectionDim }: ClipConfig,
  tokens: { readonly start: number; readonly end: number },
): JsonObject {
  const { architectures: _, ...textConfig } = clipConfigJson(text, tokens);
  return {
    architectures: ["CLIPModel"],
    model_type: "clip",
    projection_dim: projectionDim,
    text_config: { ...textConfig, projection_dim: projectionDim },
    vision_config: {
      model_type: "clip_vision_model",
      hidden_size: vision.hiddenSize,
      intermediate_size: vision.intermediateSize,
      num_hidden_layers: vision.layers,
      num_attention_heads: vision.heads,
      num_channels: 3,
      image_size: vision.imageSize,
      patch_size: vision.patchSize,
      hidden_act: vision.activation,
      layer_norm_eps: vision.layerNormEps,
      projection_dim: projectionDim,
    },
  };
}

/** preprocessor_config.json of a CLIP that sees pictures of this side, in [-1,1]. */
export function clipPreprocessorJson(side: number): JsonObject {
  return {
    image_processor_type: "CLIPImageProcessor",
    do_convert_rgb: true,
    do_resize: true,
    size: { shortest_edge: side },
    resample: 3, // bicubic, as Pillow numbers it
    do_center_crop: true,
    crop_size: { height: side, width: side },
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    image_mean: [0.5, 0.5, 0.5],
    image_std: [0.5, 0.5, 0.5],
  };
}

/** model_index.json of a text-to-image folder whose scheduler is of class `scheduler`. */
export function modelIndexJson(scheduler: string): JsonObject {
  return {
    _class_name: "StableDiffusionPipeline",
    feature_extractor: [null, null],
    requires_safety_checker: false,
    safety_checker: [null, null],
    scheduler: ["diffusers", scheduler],
    text_encoder: ["transformers", "CLIPTextModel"],
    tokenizer: ["transformers", "CLIPTokenizer"],
    unet: ["diffusers", "UNet2DConditionModel"],
    vae: ["diffusers", "AutoencoderKL"],
  };
}
