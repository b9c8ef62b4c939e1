import { startNodeWorker } from "../../../platform/node/worker.js";
import type { WorkerHandle } from "../../../platform/worker.js";

/** Starts a thread that prepares pictures for training. */
export function startDataWorker(): WorkerHandle {
  return startNodeWorker(new URL("./worker.js", import.meta.url));
}
