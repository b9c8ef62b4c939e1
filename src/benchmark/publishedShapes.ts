import type { JsonObject } from "../checkpoints/configReader.js";
import { CLIP_L_TEXT, type ClipTextConfig, OPENCLIP_H_TEXT } from "../models/clip/config.js";
import { SD1_UNET, SD2_UNET, type UNetConfig } from "../models/unet/config.js";
import { SD_VAE, type VaeConfig } from "../models/vae/config.js";

/** Everything but the weights of a published model. */
export interface PublishedShapes {
  readonly title: string;
  readonly unet: UNetConfig;
  readonly vae: VaeConfig;
  readonly text: ClipTextConfig;
  readonly tokenizer: "clip" | "openclip";
  /** scheduler_config.json */
  readonly scheduler: JsonObject & { readonly _class_name: string };
}

const NOISE = {
  beta_end: 0.012,
  beta_schedule: "scaled_linear",
  beta_start: 0.00085,
  clip_sample: false,
  num_train_timesteps: 1000,
  set_alpha_to_one: false,
  steps_offset: 1,
} as const;

export type PublishedName = "sd1.5" | "sd2.1";

/** Models whose shapes are benchmarked with random weights. Source: their config.json files. */
export const PUBLISHED_SHAPES: Readonly<Record<PublishedName, PublishedShapes>> = {
  "sd1.5": {
    title: "Stable Diffusion 1.5",
    unet: SD1_UNET,
    vae: SD_VAE,
    text: CLIP_L_TEXT,
    tokenizer: "clip",
    scheduler: { _class_name: "PNDMScheduler", ...NOISE, skip_prk_steps: true },
  },
  "sd2.1": {
    title: "Stable Diffusion 2.1",
    unet: { ...SD2_UNET, sampleSize: 96 },
    vae: SD_VAE,
    text: OPENCLIP_H_TEXT,
    tokenizer: "openclip",
    scheduler: { _class_name: "DDIMScheduler", ...NOISE, prediction_type: "v_prediction" },
  },
};
