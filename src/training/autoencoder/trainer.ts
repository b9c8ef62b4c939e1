import { input } from "../../graph/ops.js";
import { type VaeConfig, vaeFactor } from "../../models/vae/config.js";
import { denseParams } from "../../nn/layers.js";
import { learningRateAt } from "../../optim/index.js";
import type { ParameterStore, TrainingEngine, TrainingProgram } from "../../runtime/training.js";
import type { Tensor } from "../../tensor/tensor.js";
import { scheduleOf } from "../config.js";
import {
  byShape,
  gradientsOf,
  parameterSpecs,
  psnr,
  restoreStore,
  saveStore,
  scalar,
  storeOptions,
} from "../learner.js";
import type { TaskState } from "../task.js";
import { vaeParameters, type Weights } from "../weights.js";
import type { AutoencoderConfig } from "./config.js";
import { autoencoderLoss } from "./loss.js";

/** What the trainer needs of its settings. */
export type AutoencoderSettings = Pick<
  AutoencoderConfig,
  "steps" | "loss" | "optimizer" | "learningRate" | "clip" | "ema"
>;

/** An autoencoder in training, apart from data and randomness. Disposing it frees its memory. */
export interface AutoencoderTrainer extends AsyncDisposable {
  readonly store: ParameterStore;
  /** Adds the gradients of a batch: images [B,3,H,W] in [-1,1], noise [B,C,h,w] standard normal. */
  run(
    step: number,
    images: Tensor,
    noise: Tensor,
  ): Promise<Record<string, number> & { loss: number }>;
  /** Takes the step that the batches since the last one make. */
  update(step: number): Promise<{ gradientNorm: number; learningRate: number }>;
  save(): Promise<TaskState>;
  restore(state: TaskState): Promise<void>;
}

/** Starts to train an autoencoder from `start`, its weights by name. */
export async function autoencoderTrainer(
  config: AutoencoderSettings,
  engine: TrainingEngine,
  model: VaeConfig,
  start: Weights,
): Promise<AutoencoderTrainer> {
  const specs = parameterSpecs(vaeParameters(model).values(), start);
  const store = await engine.store(specs, storeOptions("autoencoder", config));
  const schedule = scheduleOf(config.learningRate, config.steps);
  const programs = byShape(([b, c, h, w]) =>
    reconstructionProgram(config, engine, store, model, [b!, c!, h!, w!]),
  );
  return {
    store,
    async run(_step, images, noise) {
      const out = await (await programs.get(images.shape)).run({ images, noise });
      const { mse, loss, ...rest } = numbers(out);
      return { loss: loss!, ...rest, psnr: psnr(mse!) };
    },
    async update(step) {
      const learningRate = learningRateAt(schedule, step);
      return { ...(await store.update({ step, learningRate })), learningRate };
    },
    save: () => saveStore("model", store),
    restore: (state) => restoreStore("model", store, state),
    async [Symbol.asyncDispose]() {
      await programs[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}

function numbers(out: Readonly<Record<string, Tensor>>): Record<string, number> {
  return Object.fromEntries(Object.entries(out).map(([name, value]) => [name, scalar(value)]));
}

function reconstructionProgram(
  { loss: options }: AutoencoderSettings,
  engine: TrainingEngine,
  store: ParameterStore,
  model: VaeConfig,
  [b, c, h, w]: readonly [number, number, number, number],
): Promise<TrainingProgram> {
  const f = vaeFactor(model);
  const images = input("images", [b, c, h, w]);
  const noise = input("noise", [b, model.latentChannels, h / f, w / f]);
  const kl = options.kl ?? undefined;
  const { loss, metrics } = autoencoderLoss(
    denseParams(),
    model,
    { images, noise },
    { ...options, kl },
  );
  return engine.program(
    { loss, ...metrics },
    { label: "autoencoder", stores: [store], gradients: gradientsOf(loss, store.names) },
  );
}
