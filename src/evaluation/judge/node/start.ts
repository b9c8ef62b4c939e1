import { startNodeWorker } from "../../../platform/node/worker.js";
import type { WorkerHandle } from "../../../platform/worker.js";

/** Starts a thread that paints for the judge's training. */
export function startJudgeWorker(): WorkerHandle {
  return startNodeWorker(new URL("./worker.js", import.meta.url));
}
