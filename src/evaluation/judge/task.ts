import { tensorToPictures } from "../../image/picture.js";
import type { JudgeConfig } from "../../models/judge/config.js";
import type { WorkerHandle } from "../../platform/worker.js";
import { sceneOf } from "../../postcards/scene.js";
import { sliceBatch } from "../../tensor/elementwise.js";
import { storedInMemory } from "../../tensor/stored.js";
import { learned } from "../../training/learner.js";
import { checkGroups } from "../../training/modelConfig.js";
import type { Sample, Task, TaskContext, TaskKind } from "../../training/task.js";
import { inWords } from "../words.js";
import { type JudgeTrainingConfig, judgeSchema, postcardJudge } from "./config.js";
import { type JudgeBatch, type JudgeData, judgeData } from "./data.js";
import { writeJudge } from "./files.js";
import { loadJudge } from "./read.js";
import { targetsOf } from "./targets.js";
import { type JudgeTrainer, judgeTrainer } from "./trainer.js";

/** Training of the judge; `startWorker` starts a thread that paints: `startJudgeWorker` in Node.js. */
export function judgeKind(startWorker: () => WorkerHandle): TaskKind<JudgeTrainingConfig> {
  return {
    name: "judge",
    schema: judgeSchema,
    open: (config, context) => openJudgeTask(config, context, startWorker),
  };
}

/**
 * Opens the training of a judge on endless postcards, held-out ones among them. The metrics of a
 * step are loss and its part of each question; the product is config.json and judge.safetensors.
 */
async function openJudgeTask(
  config: JudgeTrainingConfig,
  context: TaskContext,
  startWorker: () => WorkerHandle,
): Promise<Task> {
  const model = postcardJudge(config.model);
  checkGroups("model", model.blockOutChannels, model.normNumGroups);
  const trainer = await judgeTrainer(config, context.engine.training, model);
  const data = judgeData({ ...config, startWorker });
  let last: JudgeBatch["seeds"] = [];
  return {
    examplesPerStep: config.batchSize,
    skipped: new Map(),
    get lastBatch() {
      return last.map((seed) => `postcard ${seed}`);
    },
    async step(step) {
      const { images, seeds } = await data.batch(step);
      last = seeds;
      return await trainer.step(step, images, targetsOf(model, seeds.map(sceneOf)));
    },
    save: trainer.save,
    restore: trainer.restore,
    async export(folder) {
      await writeJudge(context.platform.files, folder, model, await learned(trainer.store));
    },
    samples: () => judgedSamples(context, model, trainer, data),
    async [Symbol.asyncDispose]() {
      await trainer[Symbol.asyncDispose]();
      await data[Symbol.asyncDispose]();
    },
  };
}

/** Pictures of a sample grid. */
const SHOWN = 12;

/** Pictures of the first step, with what the judge says of each. */
async function judgedSamples(
  { engine }: TaskContext,
  model: JudgeConfig,
  trainer: JudgeTrainer,
  data: JudgeData,
): Promise<Sample[]> {
  const { images } = await data.batch(0);
  const pictures = tensorToPictures(sliceBatch(images, 0, Math.min(SHOWN, images.shape[0]!)));
  await using judge = await loadJudge(engine, model, storedInMemory(await learned(trainer.store)));
  const { answers } = await judge.judge(pictures);
  return pictures.map((picture, i) => ({ picture, caption: inWords(answers[i]!) }));
}
