import * as v from "valibot";
import type { WeightDType } from "../../checkpoints/index.js";
import type { BetaSchedule, PredictionType } from "../../diffusion/index.js";
import type { ClipTextConfig } from "../../models/clip/config.js";
import type { UNetConfig } from "../../models/unet/config.js";
import {
  accumulateSchema,
  batchSizeSchema,
  type ConfigSchema,
  clipSchema,
  dtypeSchema,
  emaSchema,
  type LearningConfig,
  learningRateSchema,
  oneOf,
  optimizerSchema,
  type RunConfig,
  real,
  runEntries,
  text,
  whole,
} from "../config.js";
import { type DataSpec, dataSchema } from "../data/spec.js";
import { textSchema, unetSchema } from "../modelConfig.js";
import { type Recompute, recomputeSchema } from "../recompute.js";

/** How pictures become noise. */
export interface NoiseConfig {
  /** Names as in diffusers' schedulers. */
  readonly schedule: BetaSchedule;
  readonly betaStart: number;
  readonly betaEnd: number;
  readonly timesteps: number;
  /** Lin et al. 2023: the last timestep is noise alone; for v and x0 only. */
  readonly zeroTerminalSnr: boolean;
}

/** A model that begins with random weights. */
export interface NewModelConfig {
  readonly unet: UNetConfig;
  /** An autoencoder: a file, a folder or a hub's id. */
  readonly vae: string;
  /** A folder with `text_encoder` and `tokenizer`, or a text encoder that is new too. */
  readonly text: string | ClipTextConfig;
  /** Where `text` is new: a folder with `tokenizer`, or the vocabulary of postcards. */
  readonly tokenizer?: string | undefined;
  readonly noise: NoiseConfig;
}

/** How the text encoder takes part. */
export interface TextTrainingConfig {
  /** Whether it learns too. A new one has to. */
  readonly train: boolean;
  /** Its learning rate, as a share of the UNet's. */
  readonly rate: number;
}

/** How pictures of a sample grid are made. */
export interface SamplingConfig {
  readonly steps: number;
  readonly guidanceScale: number;
  readonly sampler?: string | undefined;
}

/** Settings of `tintype train diffusion`. */
export interface DiffusionConfig extends RunConfig, LearningConfig {
  readonly data: DataSpec;
  readonly batchSize: number;
  readonly accumulate: number;
  /** A model to go on with: a file, a folder or a hub's id. */
  readonly from?: string | undefined;
  /** Or a new one. */
  readonly model?: NewModelConfig | undefined;
  /** What the network predicts; a checkpoint's own by default, the noise for a new one. */
  readonly prediction?: PredictionType | undefined;
  /** Keeps latents on the disk in this folder, and embeddings where the text encoder is frozen. */
  readonly cache?: string | undefined;
  readonly text: TextTrainingConfig;
  /** Without: every caption is taken as empty. */
  readonly conditioning: "text" | "none";
  /** Share of captions that are taken as empty, so that guidance has something to compare with. */
  readonly captionDropout: number;
  /**
   * Share of the words of every caption that are left out. "a pink, on the left" is learned from
   * whatever is pink, so that a thing can get a colour that it never had.
   */
  readonly wordDropout: number;
  /** Hang et al. 2023; their gamma is 5. null: every timestep counts the same. */
  readonly minSnr: number | null;
  /**
   * Esser et al. 2024, 3.1: timesteps are drawn as 1 / (1 + exp(-x)) of all of them, x being normal
   * with this mean and deviation. A mean above 0 learns more of what is decided under much noise:
   * what is where. null: every timestep is as likely.
   */
  readonly logitNormal: { readonly mean: number; readonly std: number } | null;
  /** Guttenberg 2023: noise that is the same all over each channel, so many times. */
  readonly offsetNoise: number;
  readonly sampling: SamplingConfig;
  readonly recompute: Recompute;
  /** Numbers that the product is written in. */
  readonly dtype: WeightDType;
}

const reference = text("a file, a folder or a hub's id");

const noise = v.strictObject({
  schedule: v.optional(
    oneOf(["linear", "scaled_linear", "squaredcos_cap_v2", "exp", "laplace", "sigmoid"]),
    "scaled_linear",
  ),
  betaStart: v.optional(real(0, 1), 0.00085),
  betaEnd: v.optional(real(0, 1), 0.012),
  timesteps: v.optional(whole(1, 100_000), 1000),
  zeroTerminalSnr: v.optional(v.boolean(), false),
});

const newModel = v.strictObject({
  unet: v.optional(unetSchema, {}),
  vae: reference,
  text: v.union([reference, textSchema]),
  tokenizer: v.optional(reference),
  noise: v.optional(noise, {}),
});

export const diffusionSchema: ConfigSchema<DiffusionConfig> = v.strictObject({
  ...runEntries,
  data: dataSchema,
  batchSize: batchSizeSchema(8),
  accumulate: accumulateSchema,
  from: v.optional(reference),
  model: v.optional(newModel),
  prediction: v.optional(oneOf(["epsilon", "v_prediction", "sample"])),
  cache: v.optional(text("a folder's path")),
  text: v.optional(
    v.strictObject({ train: v.optional(v.boolean(), false), rate: v.optional(real(0), 1) }),
    {},
  ),
  conditioning: v.optional(oneOf(["text", "none"]), "text"),
  captionDropout: v.optional(real(0, 1), 0.1),
  wordDropout: v.optional(real(0, 1), 0),
  minSnr: v.optional(v.nullable(real(0, undefined, { above: true })), null),
  logitNormal: v.optional(
    v.nullable(
      v.strictObject({
        mean: v.optional(real(-10, 10), 0),
        std: v.optional(real(0, undefined, { above: true }), 1),
      }),
    ),
    null,
  ),
  offsetNoise: v.optional(real(0), 0),
  optimizer: optimizerSchema(),
  learningRate: learningRateSchema(1e-4),
  clip: clipSchema(1),
  ema: emaSchema({ decay: 0.9999, warmup: true }),
  sampling: v.optional(
    v.strictObject({
      steps: v.optional(whole(1, 1000), 20),
      guidanceScale: v.optional(real(0), 5),
      sampler: v.optional(text("a sampler's name")),
    }),
    {},
  ),
  recompute: recomputeSchema,
  dtype: dtypeSchema,
});
