import { writeModelFolder } from "../../checkpoints/index.js";
import { opening } from "../../util/opening.js";
import { batchedTask } from "../batchedTask.js";
import { learned } from "../learner.js";
import { readWeights } from "../pretrained.js";
import { normal, randomFor } from "../random.js";
import type { Task, TaskContext, TaskKind } from "../task.js";
import { below, type Weights } from "../weights.js";
import { type CaptionEncoder, dropCaptions, openCaptions } from "./captions.js";
import { type DiffusionConfig, diffusionSchema } from "./config.js";
import { type Examples, openExamples } from "./examples.js";
import { withOffset } from "./noise.js";
import { type DiffusionParts, diffusionParts } from "./parts.js";
import { samplePictures } from "./sampling.js";
import { drawTimesteps } from "./timesteps.js";
import { type DiffusionBatch, diffusionTrainer } from "./trainer.js";

/** Training of a latent diffusion model. */
export const diffusion: TaskKind<DiffusionConfig> = {
  name: "diffusion",
  schema: diffusionSchema,
  open: openDiffusion,
};

/**
 * Opens the training of a latent diffusion model: a new one, or the checkpoint that `config.from`
 * names. The metrics of a step are loss and mse, its product is a whole diffusers folder. Throws
 * what data and checkpoints do.
 */
export function openDiffusion(config: DiffusionConfig, context: TaskContext): Promise<Task> {
  return opening(async (use) => {
    const parts = await diffusionParts(config, context);
    const examples = use(await openExamples(config, context, parts));
    const captions = use(await openCaptions(config, context, parts, examples));
    const { engine, platform } = context;
    const free = () => platform.availableMemory();
    const trainer = use(await diffusionTrainer(config, engine.training, parts, free));
    return batchedTask({
      data: examples,
      trainer,
      batchSize: config.batchSize,
      accumulate: config.accumulate,
      run: async (batch, index) =>
        trainer.run(await drawn(config, trainer.timesteps, captions, batch, index)),
      export: async (folder: string) =>
        writeProduct(config, context, parts, await learned(trainer.store), folder),
      samples: async () =>
        samplePictures(config, context.engine, parts, await learned(trainer.store)),
    });
  });
}

/** A batch with all that is random about it, which follows from the run's seed and its index. */
async function drawn(
  config: DiffusionConfig,
  timesteps: number,
  encoder: CaptionEncoder,
  { moments, captions }: Examples,
  index: number,
): Promise<DiffusionBatch> {
  const random = (purpose: string) => randomFor(config.seed, purpose, index);
  const [batch, channels, h, w] = moments.shape as [number, number, number, number];
  const shape = [batch, channels / 2, h, w];
  const noise = normal(random("noise"), shape);
  const offsets = normal(random("offset noise"), [batch, channels / 2, 1, 1]);
  return {
    moments,
    draw: normal(random("posterior"), shape),
    noise: config.offsetNoise > 0 ? withOffset(noise, offsets, config.offsetNoise) : noise,
    t: drawTimesteps(random("timesteps"), batch, timesteps, config.logitNormal),
    text: await encoder.encode(dropCaptions(captions, config, random)),
  };
}

async function writeProduct(
  { dtype, from, sampling }: DiffusionConfig,
  { platform }: TaskContext,
  parts: DiffusionParts,
  trained: Weights,
  folder: string,
): Promise<void> {
  const { unet, text, vae, tokenizer, scheduler } = parts;
  const own = below(trained, "text_encoder");
  const [start, end] = tokenizer.encode("").ids;
  const model = {
    unet: { config: unet.config, weights: below(trained, "unet") },
    text: {
      config: text.config,
      weights: own.size > 0 ? own : await readWeights(text.weights),
      tokenizer: parts.tokenizerFiles,
      tokens: { start: start!, end: end! },
    },
    vae: { config: vae.config, weights: await readWeights(vae.weights) },
    scheduler,
    defaults: from === undefined ? sampling : parts.defaults,
  };
  await writeModelFolder(platform.files, folder, model, dtype);
}
