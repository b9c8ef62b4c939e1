/** The models of a training benchmark: our configs, and the same as diffusers and transformers read them. */
import { readFileSync } from "node:fs";
import * as v from "valibot";
import { clipConfigJson, unetConfigJson, vaeConfigJson } from "../src/checkpoints/configJson.js";
import type { ClipTextConfig } from "../src/models/clip/config.js";
import type { UNetConfig } from "../src/models/unet/config.js";
import type { VaeConfig } from "../src/models/vae/config.js";
import { textSchema, unetSchema, vaeSchema } from "../src/training/modelConfig.js";

export interface DiffusionBench {
  readonly batchSize: number;
  readonly unet: UNetConfig;
  readonly text: ClipTextConfig;
}

export interface AutoencoderBench {
  readonly batchSize: number;
  /** Of the pictures, in pixels. */
  readonly side: number;
  readonly vae: VaeConfig;
}

export interface TrainingBench {
  readonly diffusion: DiffusionBench;
  readonly autoencoder: AutoencoderBench;
}

const file = v.strictObject({
  diffusion: v.strictObject({
    batchSize: v.number(),
    unet: unetSchema,
    text: textSchema,
    vocabSize: v.number(),
    tokens: v.number(),
  }),
  autoencoder: v.strictObject({ batchSize: v.number(), side: v.number(), vae: vaeSchema }),
});

/** Reads a file such as bench/training.json; model keys are those of recipes. */
export function readTrainingBench(path: string): TrainingBench {
  const { diffusion, autoencoder } = v.parse(file, JSON.parse(readFileSync(path, "utf8")));
  const { batchSize, vocabSize, tokens } = diffusion;
  const text = { ...diffusion.text, vocabSize, maxPositions: tokens };
  const unet = { ...diffusion.unet, crossAttentionDim: text.hiddenSize };
  return { diffusion: { batchSize, unet, text }, autoencoder };
}

/** The same for trainingWorker.py. */
export function pythonBench({ diffusion, autoencoder }: TrainingBench): Record<string, unknown> {
  const { text, unet, batchSize } = diffusion;
  const ends = { start: text.vocabSize - 2, end: text.vocabSize - 1 };
  return {
    diffusion: { batchSize, unet: unetConfigJson(unet), text: clipConfigJson(text, ends) },
    autoencoder: { ...autoencoder, vae: vaeConfigJson(autoencoder.vae, autoencoder.side) },
  };
}
