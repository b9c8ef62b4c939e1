import { vaeConfigJson } from "../../checkpoints/configJson.js";
import { writeComponent } from "../../checkpoints/index.js";
import { tensorToPictures } from "../../image/picture.js";
import { type VaeConfig, vaeFactor } from "../../models/vae/config.js";
import { decoderGraph, encoderGraph } from "../../pipelines/graphs.js";
import { posteriorMean } from "../../pipelines/posterior.js";
import { sliceBatch } from "../../tensor/elementwise.js";
import { storedInMemory } from "../../tensor/stored.js";
import { type Tensor, tensor } from "../../tensor/tensor.js";
import { opening } from "../../util/opening.js";
import { batchedTask } from "../batchedTask.js";
import { type BatchSource, checkSizes, openData } from "../data/index.js";
import { learned } from "../learner.js";
import { normal, randomFor } from "../random.js";
import type { Sample, Task, TaskContext, TaskKind } from "../task.js";
import type { Weights } from "../weights.js";
import { type AutoencoderConfig, autoencoderSchema } from "./config.js";
import { latentScale } from "./latents.js";
import { startingPoint } from "./start.js";
import { autoencoderTrainer } from "./trainer.js";

/** Training of an autoencoder between pictures and latents. */
export const autoencoder: TaskKind<AutoencoderConfig> = {
  name: "autoencoder",
  schema: autoencoderSchema,
  open: openAutoencoder,
};

/**
 * Opens the training of an autoencoder: random weights, or those of the checkpoint that
 * `config.from` names. The metrics of a step are loss, l1, psnr in dB, kl...; its product is an
 * AutoencoderKL in `vae/`. Throws what data and checkpoint do.
 */
export function openAutoencoder(config: AutoencoderConfig, context: TaskContext): Promise<Task> {
  return opening(async (use) => {
    const start = await startingPoint(config, context);
    const { model } = start;
    const { engine, platform } = context;
    const free = () => platform.availableMemory();
    const data = use(await openData(config.data, { ...context, ...config }));
    checkSizes(data, vaeFactor(model));
    const trainer = use(await autoencoderTrainer(config, engine.training, start, free));
    return batchedTask({
      data,
      trainer,
      batchSize: config.batchSize,
      accumulate: config.accumulate,
      run({ images }, index, step) {
        const random = randomFor(config.seed, "posterior", index);
        return trainer.run(step, images, normal(random, latentShape(images, model)));
      },
      async export(folder: string) {
        const scaled = await measured(config, context, model, await learned(trainer.store), data);
        await writeComponent(platform.files, `${folder}/vae`, scaled, config.dtype);
      },
      samples: async () => reconstructions(context, model, await learned(trainer.store), data),
    });
  });
}

function latentShape({ shape }: Tensor, model: VaeConfig): number[] {
  const f = vaeFactor(model);
  return [shape[0]!, model.latentChannels, shape[2]! / f, shape[3]! / f];
}

/**
 * The product's files, with the scale of the latents measured on pictures of the data. The scale of
 * an encoder that was left as it is stays too: diffusion models were trained with it.
 */
async function measured(
  { train, scaleBatches }: AutoencoderConfig,
  { engine }: TaskContext,
  model: VaeConfig,
  weights: Weights,
  data: BatchSource,
) {
  await using encoder = await engine.load(encoderGraph(model), storedInMemory(weights), {
    label: "encoder of the trained autoencoder",
  });
  async function* images() {
    for (let i = 0; i < scaleBatches; i++) yield (await data.batch(i)).images;
  }
  const scalingFactor =
    train === "all" ? await latentScale(encoder, model, images()) : model.scalingFactor;
  const side = Math.max(...data.sizes.flat());
  const config = vaeConfigJson({ ...model, scalingFactor }, side);
  return { config, weights, library: "diffusers" } as const;
}

/** Pictures of a sample grid. */
const SHOWN = 8;

/** Pictures of the data, each beside what the autoencoder makes of it. */
async function reconstructions(
  { engine }: TaskContext,
  model: VaeConfig,
  weights: Weights,
  data: BatchSource,
): Promise<Sample[]> {
  const batch = await data.batch(0);
  const images = sliceBatch(batch.images, 0, Math.min(SHOWN, batch.names.length));
  const label = "trained autoencoder";
  await using encoder = await engine.load(encoderGraph(model), storedInMemory(weights), { label });
  await using decoder = await engine.load(decoderGraph(model), storedInMemory(weights), { label });
  const { moments } = await encoder.run({ image: images });
  const { image } = await decoder.run({ latents: posteriorMean(moments!) });
  return tensorToPictures(beside(images, image!)).map((picture, i) => ({
    caption: batch.captions[i]!,
    picture,
  }));
}

/** Pictures [B,C,H,W] of one size, left and right -> [B,C,H,2W]. */
function beside(left: Tensor, right: Tensor): Tensor {
  const w = left.shape[3]!;
  const out = new Float32Array(2 * left.data.length);
  for (let row = 0; row < left.data.length / w; row++) {
    out.set(left.data.subarray(row * w, (row + 1) * w), 2 * row * w);
    out.set(right.data.subarray(row * w, (row + 1) * w), (2 * row + 1) * w);
  }
  return tensor([...left.shape.slice(0, 3), 2 * w], out);
}
