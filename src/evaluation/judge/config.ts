import * as v from "valibot";
import type { JudgeConfig } from "../../models/judge/config.js";
import { POSTCARD_SIZE } from "../../postcards/layout.js";
import { KINDS } from "../../postcards/world.js";
import {
  batchSizeSchema,
  type ConfigSchema,
  clipSchema,
  emaSchema,
  type LearningConfig,
  learningRateSchema,
  optimizerSchema,
  type RunConfig,
  runEntries,
  whole,
} from "../../training/config.js";
import { KIND_QUESTIONS, SCENE_QUESTIONS } from "../questions.js";

/** What of a judge's network can be chosen. */
export type JudgeSize = Pick<JudgeConfig, "blockOutChannels" | "layersPerBlock" | "normNumGroups">;

/** Settings of the judge's training. */
export interface JudgeTrainingConfig extends RunConfig, LearningConfig {
  /** Postcard k of the training has this seed + k; the generator has other seeds. */
  readonly firstSeed: number;
  /** Threads that paint. */
  readonly workers: number;
  readonly batchSize: number;
  readonly model: JudgeSize;
}

const channels = v.pipe(v.array(whole(1, 1024)), v.minLength(1, "at least one level"));

export const judgeSchema: ConfigSchema<JudgeTrainingConfig> = v.strictObject({
  ...runEntries,
  firstSeed: v.optional(whole(0, 2 ** 32 - 1), 3_000_000_000),
  workers: v.optional(whole(1, 64), 1),
  batchSize: batchSizeSchema(32),
  model: v.optional(
    v.strictObject({
      blockOutChannels: v.optional(channels, [16, 32, 64, 128]),
      layersPerBlock: v.optional(v.array(whole(0, 16)), [0, 0, 1, 1]),
      normNumGroups: v.optional(whole(1, 1024), 8),
    }),
    {},
  ),
  optimizer: optimizerSchema(),
  learningRate: learningRateSchema(2e-3),
  clip: clipSchema(5),
  ema: emaSchema({ decay: 0.998, warmup: true }),
});

/** The network of this size that is asked all there is to ask about a postcard. */
export function postcardJudge(size: JudgeSize): JudgeConfig {
  return {
    ...size,
    sampleSize: POSTCARD_SIZE,
    sceneQuestions: SCENE_QUESTIONS,
    kinds: KINDS,
    kindQuestions: KIND_QUESTIONS,
  };
}
