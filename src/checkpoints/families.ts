import type { StoredTensors } from "../tensor/stored.js";
import { counted } from "../util/counted.js";
import { TintypeError } from "../util/errors.js";

/** Model families that run. */
export type ModelFamily = "sd1" | "sd1-inpaint" | "sd2" | "sd2-inpaint";

/** What people call them. */
export const FAMILY_TITLES: Readonly<Record<ModelFamily, string>> = {
  sd1: "Stable Diffusion 1.x",
  "sd1-inpaint": "Stable Diffusion 1.x inpainting",
  sd2: "Stable Diffusion 2.x",
  "sd2-inpaint": "Stable Diffusion 2.x inpainting",
};

/** What a file holds. */
export interface Finding {
  /** A ModelFamily where the file can run, otherwise a name of its own. */
  readonly family: string;
  readonly title: string;
  readonly runs: boolean;
  /** The key that shows it; undefined where nothing was recognised. */
  readonly evidence: string | undefined;
}

interface Signature {
  readonly family: string;
  readonly title: string;
  readonly key: RegExp;
}

function row(family: string, title: string, key: RegExp): Signature {
  return { family, title, key };
}

/**
 * Keys that give a file away, the telling ones first: adapters, which reuse the names of the models
 * they adapt; then whole models; then parts of models.
 */
const SIGNATURES: readonly Signature[] = [
  row(
    "lora",
    "a LoRA",
    /^lora_(unet|te|te1|te2|transformer)_|\.lora[_.](A|B|up|down)\.|lora_linear_layer/,
  ),
  row("lycoris", "a LyCORIS adapter", /\.(hada_w1_a|lokr_w1|lokr_w1_a|oft_blocks|glora_a1)(\.|$)/),
  row("ip-adapter", "an IP-Adapter", /^ip_adapter\.|^image_proj\./),
  row("t2i-adapter", "a T2I-Adapter", /^(adapter\.)?body\.\d+\.(resnets\.\d+\.)?block[12]\./),
  row("controlnet", "a ControlNet", /^control_model\.|^controlnet_|^input_hint_block\./),
  row("motion", "an AnimateDiff motion module", /motion_modules\.\d+\./),
  row("textual-inversion", "a textual inversion", /^(emb_params|string_to_param(\..+)?|<[^>]+>)$/),
  row("svd", "Stable Video Diffusion", /\.time_stack\.|^conditioner\.embedders\.0\.open_clip\./),
  row("sdxl", "Stable Diffusion XL", /^conditioner\.embedders\.1\./),
  row("sdxl-refiner", "the Stable Diffusion XL refiner", /^conditioner\.embedders\.0\.model\./),
  row("sdxl-unet", "a Stable Diffusion XL UNet", /(^|\.)add_embedding\.linear_1\./),
  row("sd3", "Stable Diffusion 3", /(^|\.)joint_blocks\.\d+\.(context|x)_block\./),
  row("flux2", "Flux 2", /(^|\.)single_stream_modulation\.lin\./),
  row("chroma", "Chroma", /(^|\.)distilled_guidance_layer\./),
  row("hidream", "HiDream", /(^|\.)double_stream_blocks\.\d+\.block\./),
  row("hunyuan-video", "HunyuanVideo", /(^|\.)txt_in\.individual_token_refiner\./),
  row("flux", "Flux", /(^|\.)double_blocks\.\d+\.(img|txt)_(attn|mod|mlp)/),
  row("auraflow", "AuraFlow", /(^|\.)double_layers\.\d+\.attn\.w1q\./),
  row("lumina", "Lumina", /(^|\.)cap_embedder\.0\./),
  row("wan", "Wan", /(^|\.)head\.modulation$|(^|\.)time_projection\.1\./),
  row("mochi", "Mochi", /(^|\.)blocks\.\d+\.attn\.qkv_x\./),
  row("ltx", "LTX-Video", /(^|\.)patchify_proj\./),
  row("sana", "Sana", /(^|\.)blocks\.\d+\.cross_attn\.q_linear\./),
  row("cosmos", "Cosmos", /^net\.x_embedder\.proj\.1\./),
  row("pixart", "PixArt", /(^|\.)(adaln_single\.|t_block\.1\.)/),
  row("cascade", "Stable Cascade", /^clip_txt_mapper\.|\.channelwise\.0\./),
  row("depth2img", "Stable Diffusion 2 depth to image", /^depth_model\./),
  row("unclip", "Stable unCLIP", /^embedder\.model\.|^noise_augmentor\./),
  row("altdiffusion", "AltDiffusion", /^cond_stage_model\.roberta\./),
  row(
    "upscaler",
    "the Stable Diffusion x4 upscaler",
    /^(model\.diffusion_model\.)?label_emb\.weight$/,
  ),
  row("ldm", "an earlier latent diffusion model", /^first_stage_model\.quantize\.|\.token_emb\./),
  row("sd", "Stable Diffusion", /^model\.diffusion_model\.input_blocks\.0\.0\.weight$/),
  row("sd", "Stable Diffusion", /^model_ema\.diffusion_modelinput_blocks00weight$/),
  row("unet", "a UNet alone", /^input_blocks\.0\.0\.weight$|^down_blocks\.\d+\.resnets\./),
  row("vae", "a VAE alone", /^((first_stage_model|vae)\.)?decoder\.(up|up_blocks|mid|mid_block)\./),
  row("text-encoder", "a text encoder alone", /(^|\.)(token_embedding\.weight|text_projection)$/),
];

/** How many channels the UNet of a Stable Diffusion file takes, and who takes as many. */
const BY_CHANNELS: Readonly<Record<number, readonly [family: string, title: string]>> = {
  5: ["depth2img", "Stable Diffusion 2 depth to image"],
  7: ["upscaler", "the Stable Diffusion x4 upscaler"],
  8: ["pix2pix", "InstructPix2Pix"],
};

/** Key of the first convolution in a Stable Diffusion file. */
const CONV_IN = [
  "model.diffusion_model.input_blocks.0.0.weight",
  "model_ema.diffusion_modelinput_blocks00weight",
];

/** SD 1.x or 2.x by its text encoder's dialect, 4 or 9 channels by the first convolution. */
function stableDiffusion(tensors: StoredTensors, evidence: string): Finding {
  const conv = CONV_IN.map((key) => tensors.get(key)).find((t) => t !== undefined);
  const channels = conv?.shape[1] ?? 4;
  const other = BY_CHANNELS[channels];
  if (other !== undefined) {
    return { family: other[0], title: other[1], runs: false, evidence };
  }
  const openClip = [...tensors.keys()].some((key) => key.startsWith("cond_stage_model.model."));
  const family: ModelFamily = `${openClip ? "sd2" : "sd1"}${channels === 9 ? "-inpaint" : ""}`;
  return { family, title: FAMILY_TITLES[family], runs: true, evidence };
}

/** Which family a file is of, from its keys and shapes. */
export function findFamily(tensors: StoredTensors): Finding {
  const keys = [...tensors.keys()];
  for (const { family, title, key } of SIGNATURES) {
    const evidence = keys.find((k) => key.test(k));
    if (evidence === undefined) continue;
    if (family === "sd") return stableDiffusion(tensors, evidence);
    return { family, title, runs: false, evidence };
  }
  return { family: "unknown", title: "an unknown model", runs: false, evidence: undefined };
}

const ADVICE: Readonly<Record<string, string>> = {
  vae: "Pass a whole model as --model, and this file as --vae.",
  unet: "Pass a whole model: a diffusers folder, or a single file with VAE and text encoder.",
  "text-encoder": "Pass a whole model: a diffusers folder, or a single file with UNet and VAE.",
};

/** The error for a file of a family that does not run, or the family. */
export function runnableFamily(tensors: StoredTensors, file: string): ModelFamily {
  const { family, title, runs, evidence } = findFamily(tensors);
  if (runs) return family as ModelFamily;
  if (evidence === undefined) {
    const first = [...tensors.keys()].slice(0, 3).map((key) => `"${key}"`);
    throw new TintypeError(
      "unsupported",
      `${file}: no model that Tintype knows. Expected Stable Diffusion 1.x or 2.x ` +
        `("${CONV_IN[0]}" and more), found ${counted(tensors.size, "tensor")}` +
        `${first.length > 0 ? `, the first ${first.join(", ")}` : ""}.`,
    );
  }
  const problem = `${file} holds ${title} (key "${evidence}"), which this version does not run.`;
  const advice = ADVICE[family];
  if (advice !== undefined) throw new TintypeError("unsupported", problem, { advice });
  throw new TintypeError("unsupported", `${problem} It runs Stable Diffusion 1.x and 2.x.`);
}
