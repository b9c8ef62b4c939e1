import * as v from "valibot";
import type { WeightDType } from "../../checkpoints/writeComponent.js";
import type { VaeConfig } from "../../models/vae/config.js";
import type { OptimizerSpec } from "../../optim/index.js";
import {
  accumulateSchema,
  batchSizeSchema,
  type ConfigSchema,
  clipSchema,
  dtypeSchema,
  emaSchema,
  type LearningConfig,
  type LearningRateConfig,
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
import { vaeSchema } from "../modelConfig.js";
import { type Recompute, recomputeSchema } from "../recompute.js";

/** A network whose features tell how different pictures look, and how much that counts. */
export type PerceptualConfig = { readonly weight: number } & (
  | {
      /** Files of VGG16's weights as torchvision has them, and of LPIPS's. */
      readonly vgg: string;
      readonly lin: string;
    }
  /** The image encoder of a CLIPModel: a folder, such as the product of a training. */
  | { readonly clip: string }
);

/** What is minimised before the discriminator comes in. */
export interface AutoencoderLossConfig {
  /** Distance of pixels. */
  readonly pixel: "l1" | "l2";
  /** Weight of the Kullback-Leibler term; null is a plain autoencoder. */
  readonly kl: number | null;
  readonly perceptual?: PerceptualConfig | undefined;
  /** "mean" counts per pixel value; "sum" is the published scale, the same loss times 3 H W. */
  readonly reduction: "mean" | "sum";
}

/** The adversarial term: a PatchGAN discriminator that is trained beside the autoencoder. */
export interface AdversarialConfig {
  /** Step from which it takes part. */
  readonly start: number;
  /** Share of its gradient beside that of the reconstruction, where the picture is made. */
  readonly weight: number;
  /** Channels of the discriminator's first layer, and its layers of stride 2. */
  readonly channels: number;
  readonly layers: number;
  readonly optimizer: OptimizerSpec;
  readonly learningRate: LearningRateConfig;
}

/** Settings of `tintype train autoencoder`. */
export interface AutoencoderConfig extends RunConfig, LearningConfig {
  readonly data: DataSpec;
  readonly batchSize: number;
  readonly accumulate: number;
  /** The network; sizes of a checkpoint that `from` names go before it. */
  readonly model: VaeConfig;
  /** An autoencoder to go on with: a file, a folder or a hub's id. */
  readonly from?: string | undefined;
  /** "decoder" leaves the encoder of `from` as it is, so that latents keep their meaning. */
  readonly train: "all" | "decoder";
  readonly loss: AutoencoderLossConfig;
  readonly adversarial?: AdversarialConfig | undefined;
  readonly recompute: Recompute;
  /** Batches over which the latents' scale is measured when the autoencoder is written. */
  readonly scaleBatches: number;
  /** Numbers that the product is written in. */
  readonly dtype: WeightDType;
}

/** The published settings are Adam(0.5, 0.9) at 4.5e-6 a picture of the batch. */
const adversarial = v.strictObject({
  start: whole(0),
  weight: v.optional(real(0), 0.5),
  channels: v.optional(whole(1, 1024), 64),
  layers: v.optional(whole(1, 6), 3),
  optimizer: optimizerSchema({ kind: "adam", betas: [0.5, 0.9] }),
  learningRate: learningRateSchema(1e-4),
});

const perceptual = v.union([
  v.strictObject({
    weight: v.optional(real(0), 1),
    vgg: text("a file's path"),
    lin: text("a file's path"),
  }),
  v.strictObject({ weight: v.optional(real(0), 1), clip: text("a folder") }),
]);

export const autoencoderSchema: ConfigSchema<AutoencoderConfig> = v.strictObject({
  ...runEntries,
  data: dataSchema,
  batchSize: batchSizeSchema(8),
  accumulate: accumulateSchema,
  model: v.optional(vaeSchema, {}),
  from: v.optional(text("a file, a folder or a hub's id")),
  train: v.optional(oneOf(["all", "decoder"]), "all"),
  loss: v.optional(
    v.strictObject({
      pixel: v.optional(oneOf(["l1", "l2"]), "l1"),
      kl: v.optional(v.nullable(real(0)), 1e-6),
      perceptual: v.optional(perceptual),
      reduction: v.optional(oneOf(["mean", "sum"]), "mean"),
    }),
    {},
  ),
  adversarial: v.optional(adversarial),
  optimizer: optimizerSchema(),
  learningRate: learningRateSchema(2e-4),
  clip: clipSchema(1),
  ema: emaSchema(null),
  recompute: recomputeSchema,
  scaleBatches: v.optional(whole(1), 16),
  dtype: dtypeSchema,
});
