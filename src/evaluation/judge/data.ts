import type { WorkerHandle } from "../../platform/worker.js";
import type { Tensor } from "../../tensor/tensor.js";
import { dataPool } from "../../training/data/pool.js";
import { prefetch } from "../../training/data/prefetch.js";

/** Postcards of one step. */
export interface JudgeBatch {
  /** [B,3,H,W] in [-1,1] */
  readonly images: Tensor;
  /** Seeds of the scenes. */
  readonly seeds: readonly number[];
}

/** Endless postcards by step number. */
export interface JudgeData extends AsyncDisposable {
  batch(step: number): Promise<JudgeBatch>;
}

export interface JudgeDataOptions {
  readonly firstSeed: number;
  readonly batchSize: number;
  /** Threads that paint. */
  readonly workers: number;
  /** Starts one: `startJudgeWorker` in Node.js. */
  readonly startWorker: () => WorkerHandle;
}

const SEEDS = 2 ** 32;

/** Postcards whose seeds count up from `firstSeed`, painted in threads while others are learned from. */
export function judgeData(options: JudgeDataOptions): JudgeData {
  const { firstSeed, batchSize, workers, startWorker } = options;
  const pool = dataPool(startWorker, workers);
  const make = async (step: number): Promise<JudgeBatch> => {
    const seeds = Array.from(
      { length: batchSize },
      (_, i) => (firstSeed + step * batchSize + i) % SEEDS,
    );
    const { images } = await pool.ask("paint", { seeds, crops: [] });
    return { images, seeds };
  };
  const batches = prefetch(make, workers + 1);
  return {
    batch: (step) => batches.at(step),
    async [Symbol.asyncDispose]() {
      batches.clear();
      await pool[Symbol.asyncDispose]();
    },
  };
}
