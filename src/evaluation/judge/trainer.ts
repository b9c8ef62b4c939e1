import { input } from "../../graph/ops.js";
import type { JudgeConfig } from "../../models/judge/config.js";
import { judge } from "../../models/judge/model.js";
import { denseParams } from "../../nn/layers.js";
import type { RootParams } from "../../nn/params.js";
import type { ParameterStore, TrainingEngine } from "../../runtime/training.js";
import type { Tensor } from "../../tensor/tensor.js";
import {
  gradientsOf,
  parameterSpecs,
  scheduledUpdate,
  storeOptions,
} from "../../training/learner.js";
import { scalar } from "../../training/programs.js";
import { type Savable, savable } from "../../training/savable.js";
import type { Metrics } from "../../training/task.js";
import { initialWeights } from "../../training/weights.js";
import type { JudgeTrainingConfig } from "./config.js";
import { judgeLoss, targetInputs } from "./loss.js";

/** A judge in training, apart from its data. */
export interface JudgeTrainer extends Savable, AsyncDisposable {
  readonly store: ParameterStore;
  /** Learns from pictures [B,3,S,S] and what is right about them, by the inputs' names. */
  step(step: number, images: Tensor, targets: Readonly<Record<string, Tensor>>): Promise<Metrics>;
}

/** Every parameter of a judge, as its layers declare them. */
export function judgeParameters(model: JudgeConfig): RootParams["declared"] {
  const p = denseParams();
  judge(p, model, input("image", [1, 3, model.sampleSize, model.sampleSize]));
  return p.declared;
}

/** Starts to train a judge from random weights. */
export async function judgeTrainer(
  config: Omit<JudgeTrainingConfig, "model">,
  engine: TrainingEngine,
  model: JudgeConfig,
): Promise<JudgeTrainer> {
  const { batchSize, seed } = config;
  const declared = judgeParameters(model);
  const specs = parameterSpecs(declared.values(), initialWeights(declared.values(), seed));
  const store = await engine.store(specs, storeOptions("judge", config));
  const images = input("images", [batchSize, 3, model.sampleSize, model.sampleSize]);
  const judgement = judge(denseParams(), model, images);
  const { loss, terms } = judgeLoss(judgement, targetInputs(model, batchSize));
  const program = await engine.program(
    { loss, ...terms },
    { label: "judge", stores: [store], gradients: gradientsOf(loss, store.names) },
  );
  const update = scheduledUpdate(store, config);
  return {
    store,
    async step(step, images, targets) {
      const out = await program.run({ images, ...targets });
      const updated = await update(step);
      const numbers = Object.entries(out).map(([name, value]) => [name, scalar(value)] as const);
      return { ...Object.fromEntries(numbers), loss: scalar(out.loss), ...updated };
    },
    ...savable({ model: store }),
    async [Symbol.asyncDispose]() {
      await program[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}
