import type { Port, WorkerHandle } from "../worker.js";

/** A started web worker, seen from its owner. */
export function browserWorker(worker: Worker): WorkerHandle {
  return {
    post: (message, transfer = []) => worker.postMessage(message, [...transfer]),
    listen(listener) {
      worker.onmessage = ({ data }) => listener(data);
    },
    onDeath(listener) {
      worker.onerror = (event) => {
        event.preventDefault();
        // A worker whose script cannot be loaded says nothing.
        const reason = event.message ?? "its script could not be loaded";
        listener(new Error(reason));
      };
    },
    terminate() {
      worker.onmessage = worker.onerror = null;
      worker.terminate();
      return Promise.resolve();
    },
  };
}

/** What a worker needs of the global object that it runs in. */
interface WorkerScope {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: unknown, transfer: Transferable[]): void;
}

/** The other end: this worker, seen from inside. Messages wait until somebody listens. */
export interface BrowserPort extends Port {
  /** Takes the first message; what follows waits for `listen`. */
  first(): Promise<unknown>;
}

/** The port of the worker that this code runs in. */
export function browserWorkerPort(): BrowserPort {
  const scope = globalThis as unknown as WorkerScope;
  const waiting: unknown[] = [];
  let deliver = (message: unknown): void => void waiting.push(message);
  scope.onmessage = ({ data }) => deliver(data);
  return {
    post: (message, transfer = []) => scope.postMessage(message, [...transfer]),
    listen(listener) {
      deliver = listener;
      for (const message of waiting.splice(0)) listener(message);
    },
    first: () =>
      new Promise((resolve) => {
        const queue = deliver;
        deliver = (message) => {
          deliver = queue;
          resolve(message);
        };
      }),
  };
}
