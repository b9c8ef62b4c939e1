import * as v from "valibot";
import type { WeightDType } from "../../checkpoints/index.js";
import type { ClipTextConfig, ClipVisionConfig } from "../../models/clip/config.js";
import {
  batchSizeSchema,
  type ConfigSchema,
  clipSchema,
  dtypeSchema,
  emaSchema,
  type LearningConfig,
  learningRateSchema,
  optimizerSchema,
  type RunConfig,
  runEntries,
  text,
  whole,
} from "../config.js";
import { type DataSpec, dataSchema } from "../data/spec.js";
import { textSchema, visionSchema } from "../modelConfig.js";
import { type Recompute, recomputeSchema } from "../recompute.js";

/** The networks: vocabulary and length of the text are the tokenizer's. */
export interface ClipModelConfig {
  readonly text: ClipTextConfig;
  readonly vision: ClipVisionConfig;
  /** Width of the space where texts and pictures meet. */
  readonly projectionDim: number;
  /** A folder with `tokenizer`, or the vocabulary of postcards. */
  readonly tokenizer: string;
}

/** Settings of `tintype train clip`. */
export interface ClipTrainingConfig extends RunConfig, LearningConfig {
  readonly data: DataSpec;
  /** Each text is told from so many pictures, and each picture from so many texts. */
  readonly batchSize: number;
  readonly model: ClipModelConfig;
  readonly recompute: Recompute;
  /** Numbers that the product is written in. */
  readonly dtype: WeightDType;
}

/** AdamW's settings are those of Radford et al. 2021, table 20. */
export const clipTrainingSchema: ConfigSchema<ClipTrainingConfig> = v.strictObject({
  ...runEntries,
  data: dataSchema,
  batchSize: batchSizeSchema(64),
  model: v.strictObject({
    text: v.optional(textSchema, {}),
    vision: v.optional(visionSchema, {}),
    projectionDim: v.optional(whole(1, 65_536), 768),
    tokenizer: text('a folder with "tokenizer" in it, or "postcards"'),
  }),
  optimizer: optimizerSchema({
    kind: "adamw",
    betas: [0.9, 0.98],
    epsilon: 1e-6,
    weightDecay: 0.2,
  }),
  learningRate: learningRateSchema(5e-4),
  clip: clipSchema(1),
  ema: emaSchema(null),
  recompute: recomputeSchema,
  dtype: dtypeSchema,
});
