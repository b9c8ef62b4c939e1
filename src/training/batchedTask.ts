import type { Stepped } from "./data/index.js";
import type { Updated } from "./learner.js";
import type { Savable } from "./savable.js";
import type { Task } from "./task.js";

type Numbers = Readonly<Record<string, number>>;

/** What a task is made of whose steps are batches of one source. */
export interface BatchedTaskParts<B> extends Pick<Task, "export" | "samples"> {
  readonly data: Pick<Stepped<B>, "batch" | "skipped" | "fingerprint">;
  readonly trainer: Savable & { update(step: number): Promise<Updated> };
  readonly batchSize: number;
  /** Batches whose gradients make one step; 1 by default. */
  readonly accumulate?: number;
  /** Adds the gradients of batch `index` to step `step`, both from 0; tells loss and more. */
  run(batch: B, index: number, step: number): Promise<Numbers>;
}

/** A task but for its end; the metrics of a step are the means over its batches. */
export function batchedTask<B extends { readonly names: readonly string[] }>(
  parts: BatchedTaskParts<B>,
): Omit<Task, typeof Symbol.asyncDispose> {
  const { data, trainer, batchSize, accumulate = 1 } = parts;
  let lastBatch: readonly string[] = [];
  return {
    examplesPerStep: batchSize * accumulate,
    fingerprint: data.fingerprint,
    get skipped() {
      return data.skipped;
    },
    get lastBatch() {
      return lastBatch;
    },
    async step(step) {
      const reports: Numbers[] = [];
      const names: string[] = [];
      for (let index = step * accumulate; index < (step + 1) * accumulate; index++) {
        const batch = await data.batch(index);
        names.push(...batch.names);
        reports.push(await parts.run(batch, index, step));
      }
      lastBatch = names;
      const metrics = meanOf(reports);
      return { ...metrics, ...(await trainer.update(step)), loss: metrics.loss! };
    },
    save: trainer.save,
    restore: trainer.restore,
    export: parts.export,
    samples: parts.samples,
  };
}

/** Means by name. */
function meanOf(reports: readonly Numbers[]): Record<string, number> {
  const names = Object.keys(reports[0] ?? {});
  const mean = (name: string): number =>
    reports.reduce((sum, report) => sum + report[name]!, 0) / reports.length;
  return Object.fromEntries(names.map((name) => [name, mean(name)]));
}
