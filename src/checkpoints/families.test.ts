import { expect, test } from "vitest";
import { type KeyAndShape, tensorsWithoutBytes } from "../../test/golden/checkpoints/support.js";
import { findFamily, runnableFamily } from "./families.js";

const CONV = "model.diffusion_model.input_blocks.0.0.weight";
const VAE = "first_stage_model.decoder.mid.attn_1.q.weight";
const CLIP = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight";

/** Real keys of public files, and the family that they must show. */
const CASES: readonly (readonly [family: string, keys: readonly (string | KeyAndShape)[]])[] = [
  ["sd1", [[CONV, [320, 4, 3, 3]], VAE, CLIP]],
  ["sd1-inpaint", [[CONV, [320, 9, 3, 3]], VAE, CLIP]],
  ["sd2", [[CONV, [320, 4, 3, 3]], VAE, "cond_stage_model.model.ln_final.weight"]],
  ["sd2-inpaint", [[CONV, [320, 9, 3, 3]], VAE, "cond_stage_model.model.ln_final.weight"]],
  ["sd1", [["model_ema.diffusion_modelinput_blocks00weight", [320, 4, 3, 3]], VAE, CLIP]],
  ["pix2pix", [[CONV, [320, 8, 3, 3]], VAE, CLIP]],
  ["depth2img", [[CONV, [320, 5, 3, 3]], VAE, "cond_stage_model.model.ln_final.weight"]],
  ["upscaler", [[CONV, [256, 7, 3, 3]], VAE, "model.diffusion_model.label_emb.weight"]],
  ["unclip", [[CONV, [320, 4, 3, 3]], VAE, "embedder.model.ln_final.weight"]],
  ["altdiffusion", [CONV, VAE, "cond_stage_model.roberta.embeddings.word_embeddings.weight"]],
  ["ldm", [CONV, "first_stage_model.quantize.embedding.weight"]],
  ["sdxl", [CONV, VAE, "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias"]],
  ["sdxl-refiner", [CONV, VAE, "conditioner.embedders.0.model.text_projection"]],
  ["svd", [CONV, "conditioner.embedders.0.open_clip.model.ln_final.bias"]],
  [
    "sdxl-unet",
    ["conv_in.weight", "down_blocks.0.resnets.0.norm1.bias", "add_embedding.linear_1.weight"],
  ],
  ["sd3", ["model.diffusion_model.joint_blocks.0.context_block.adaLN_modulation.1.bias"]],
  ["flux", ["double_blocks.0.img_attn.norm.key_norm.scale"]],
  ["flux2", ["double_blocks.0.img_attn.proj.weight", "single_stream_modulation.lin.weight"]],
  ["chroma", ["double_blocks.0.img_attn.proj.weight", "distilled_guidance_layer.in_proj.bias"]],
  [
    "hunyuan-video",
    [
      "double_blocks.0.img_mod.linear.weight",
      "txt_in.individual_token_refiner.blocks.0.adaLN_modulation.1.bias",
    ],
  ],
  ["hidream", ["double_stream_blocks.0.block.adaLN_modulation.1.bias"]],
  ["auraflow", ["double_layers.0.attn.w1q.weight"]],
  ["lumina", ["model.diffusion_model.cap_embedder.0.weight"]],
  ["wan", ["model.diffusion_model.head.modulation"]],
  ["mochi", ["blocks.0.attn.qkv_x.weight"]],
  [
    "ltx",
    [
      "model.diffusion_model.patchify_proj.weight",
      "vae.decoder.up_blocks.0.res_blocks.0.conv1.conv.weight",
    ],
  ],
  ["sana", ["blocks.0.cross_attn.q_linear.weight"]],
  ["cosmos", ["net.x_embedder.proj.1.weight"]],
  ["pixart", ["adaln_single.linear.weight"]],
  ["cascade", ["clip_txt_mapper.weight"]],
  ["controlnet", [CONV, "control_model.time_embed.0.weight"]],
  [
    "controlnet",
    [
      "conv_in.weight",
      "down_blocks.0.resnets.0.norm1.bias",
      "controlnet_cond_embedding.conv_in.weight",
    ],
  ],
  ["t2i-adapter", ["conv_in.weight", "body.0.block1.weight"]],
  ["t2i-adapter", ["adapter.body.0.resnets.0.block1.weight"]],
  ["ip-adapter", ["image_proj.proj.weight", "ip_adapter.1.to_k_ip.weight"]],
  ["motion", ["down_blocks.0.motion_modules.0.temporal_transformer.norm.weight"]],
  ["motion", ["down_blocks.0.motion_modules.0.norm.weight"]],
  ["lora", ["lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight"]],
  ["lora", ["unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight"]],
  ["lora", ["unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_k.lora.up.weight"]],
  [
    "lora",
    ["unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_k.lora_linear_layer.up.weight"],
  ],
  ["lycoris", ["oft_unet_x.oft_blocks"]],
  ["textual-inversion", ["emb_params"]],
  ["textual-inversion", ["string_to_param.*"]],
  ["textual-inversion", ["<cat-toy>"]],
  ["unet", ["input_blocks.0.0.weight", "out.0.weight"]],
  [
    "unet",
    ["conv_in.weight", "down_blocks.0.resnets.0.norm1.weight", "mid_block.resnets.0.norm1.bias"],
  ],
  ["vae", ["encoder.conv_in.weight", "decoder.up.0.block.0.conv1.weight"]],
  [
    "vae",
    ["encoder.down_blocks.0.resnets.0.norm1.weight", "decoder.mid_block.resnets.0.norm1.bias"],
  ],
  ["vae", [VAE]],
  ["text-encoder", ["text_model.embeddings.token_embedding.weight"]],
  ["unknown", ["fc.weight"]],
  ["unknown", []],
];

const tensorsOf = (keys: readonly (string | KeyAndShape)[]) =>
  tensorsWithoutBytes(keys.map((k): KeyAndShape => (typeof k === "string" ? [k, [4, 4]] : k)));

test.each(CASES)("%s: %j", (family, keys) => {
  const found = findFamily(tensorsOf(keys));
  expect(found.family).toBe(family);
  expect(found.runs).toBe(/^sd[12](-inpaint)?$/.test(family));
});

test("what does not run is refused with its name and the key that shows it", () => {
  const refused = (...keys: string[]) => {
    try {
      return runnableFamily(tensorsOf(keys), "x.safetensors");
    } catch (error) {
      return String(error);
    }
  };
  expect([
    refused("conditioner.embedders.1.model.ln_final.weight"),
    refused("encoder.conv_in.weight", "decoder.mid.block_1.norm1.weight"),
    refused("fc.weight", "fc.bias"),
    refused(),
  ]).toMatchInlineSnapshot(`
    [
      "TintypeError: x.safetensors holds Stable Diffusion XL (key "conditioner.embedders.1.model.ln_final.weight"), which this version does not run. It runs Stable Diffusion 1.x and 2.x.",
      "TintypeError: x.safetensors holds a VAE alone (key "decoder.mid.block_1.norm1.weight"), which this version does not run. Pass a whole model as --model, and this file as --vae.",
      "TintypeError: x.safetensors: no model that Tintype knows. Expected Stable Diffusion 1.x or 2.x ("model.diffusion_model.input_blocks.0.0.weight" and more), found 2 tensors, the first "fc.weight", "fc.bias".",
      "TintypeError: x.safetensors: no model that Tintype knows. Expected Stable Diffusion 1.x or 2.x ("model.diffusion_model.input_blocks.0.0.weight" and more), found 0 tensors.",
    ]
  `);
});
