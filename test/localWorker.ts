import type { Port, WorkerHandle } from "../src/platform/worker.js";

/** A "worker" in this thread: messages are copied, as between threads, and arrive later. */
export function localWorker(serve: (port: Port) => void): WorkerHandle {
  const [toWorker, toOwner]: ((message: unknown) => void)[][] = [[], []];
  let ended = false;
  const deliver = (to: readonly ((message: unknown) => void)[], message: unknown): void => {
    const copy = structuredClone(message);
    setImmediate(() => ended || to.at(-1)?.(copy));
  };
  serve({
    post: (message) => deliver(toOwner!, message),
    listen: (listener) => void toWorker!.push(listener),
  });
  return {
    post: (message) => deliver(toWorker!, message),
    listen: (listener) => void toOwner!.push(listener),
    onDeath: () => {},
    terminate: () => {
      ended = true;
      return Promise.resolve();
    },
  };
}
