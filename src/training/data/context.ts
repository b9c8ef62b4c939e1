import type { Platform } from "../../platform/types.js";
import type { WorkerHandle } from "../../platform/worker.js";

/** What opening data needs besides its spec. */
export interface DataContext {
  readonly platform: Platform;
  /** Starts a thread that prepares pictures: `startDataWorker` in Node.js. */
  readonly startWorker: () => WorkerHandle;
  /** Examples of one step. */
  readonly batchSize: number;
  /** The run's seed: order, crops and mirroring follow from it and the step. */
  readonly seed: number;
  /** Steps that are prepared ahead; by default what 256 MiB hold, at most two a thread and two more. */
  readonly ahead?: number | undefined;
}

const MOST_AHEAD_BYTES = 256 << 20;

/** Steps to prepare ahead when a batch takes so many pixels. */
export function stepsAhead(
  { ahead, batchSize }: DataContext,
  workers: number,
  pixels: number,
): number {
  const room = Math.floor(MOST_AHEAD_BYTES / (batchSize * pixels * 3 * 4));
  return ahead ?? Math.max(1, Math.min(2 * workers + 2, room));
}
