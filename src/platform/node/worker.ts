import { parentPort, Worker } from "node:worker_threads";
import { invariant } from "../../util/errors.js";
import type { Port, WorkerHandle } from "../worker.js";

/**
 * Starts a thread that runs a module of this package. `url` names its compiled form; when the caller
 * itself runs from TypeScript sources, the thread does too.
 */
export function startNodeWorker(url: URL): WorkerHandle {
  const worker = import.meta.url.endsWith(".ts") ? workerFromSource(url) : new Worker(url);
  return {
    post: (message, transfer = []) => worker.postMessage(message, transfer),
    listen(listener) {
      worker.removeAllListeners("message");
      worker.on("message", listener);
    },
    onDeath(listener) {
      worker.once("error", (error) =>
        listener(error instanceof Error ? error : new Error(String(error))),
      );
      worker.once("exit", (code) => listener(new Error(`the worker ended with code ${code}`)));
    },
    keepAlive: (busy) => (busy ? worker.ref() : worker.unref()),
    async terminate() {
      worker.removeAllListeners();
      await worker.terminate();
    },
  };
}

/** A thread that learns TypeScript before it loads the source of the module. */
function workerFromSource(url: URL): Worker {
  const source = JSON.stringify(url.href.replace(/\.js$/, ".ts"));
  const program = `import("tsx/esm/api").then(({ register }) => { register(); import(${source}); });`;
  return new Worker(program, { eval: true });
}

/** The other end: this thread, seen from inside a worker. */
export function nodeWorkerPort(): Port {
  invariant(parentPort, "not a worker thread");
  const port = parentPort;
  return {
    post: (message, transfer = []) => port.postMessage(message, transfer),
    listen: (listener) => {
      port.removeAllListeners("message");
      port.on("message", listener);
    },
  };
}
