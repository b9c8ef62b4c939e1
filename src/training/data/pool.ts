import type { WorkerHandle } from "../../platform/worker.js";
import { TintypeError } from "../../util/errors.js";
import type { Answer, Job, Jobs } from "./protocol.js";

/** Threads that decode, scale and paint pictures. */
export interface DataPool extends AsyncDisposable {
  /** Asks the thread that has the least to do. */
  ask<J extends Job>(job: J, ask: Jobs[J]["ask"]): Promise<Jobs[J]["answer"]>;
}

interface Waiting {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

interface Thread {
  readonly handle: WorkerHandle;
  readonly waiting: Map<number, Waiting>;
}

/** Starts `count` threads. When one dies, everything that waits and all that follows fails. */
export function dataPool(start: () => WorkerHandle, count: number): DataPool {
  let end: TintypeError | undefined;
  let next = 1;
  const stop = (error: TintypeError): void => {
    end ??= error;
    for (const { handle, waiting } of threads) {
      for (const { reject } of waiting.values()) reject(end);
      waiting.clear();
      handle.keepAlive?.(false);
    }
  };
  const threads: readonly Thread[] = Array.from({ length: count }, () =>
    startThread(start(), (cause) => stop(death(cause))),
  );
  return {
    ask(job, ask) {
      if (end !== undefined) return Promise.reject(end);
      const { handle, waiting } = threads.reduce((a, b) =>
        b.waiting.size < a.waiting.size ? b : a,
      );
      const id = next++;
      return new Promise((resolve, reject) => {
        handle.post({ id, job, ...ask });
        waiting.set(id, { resolve: resolve as Waiting["resolve"], reject });
        handle.keepAlive?.(true);
      });
    },
    async [Symbol.asyncDispose]() {
      stop(new TintypeError("aborted", "the training data was closed"));
      await Promise.all(threads.map(({ handle }) => handle.terminate()));
    },
  };
}

function death(cause: Error): TintypeError {
  return new TintypeError(
    "io",
    `a thread that prepares training data died (${cause.message}). ` +
      "If memory ran out, take fewer workers or a smaller batch; then resume the run.",
    { cause },
  );
}

/** Opens something that works with `count` threads, which end when it is closed or fails to open. */
export async function withPool<T extends object>(
  start: () => WorkerHandle,
  count: number,
  open: (pool: DataPool) => Promise<T>,
): Promise<T & AsyncDisposable> {
  const pool = dataPool(start, count);
  try {
    const opened = await open(pool);
    return Object.assign(opened, {
      [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
    });
  } catch (error) {
    await pool[Symbol.asyncDispose]();
    throw error;
  }
}

function startThread(handle: WorkerHandle, died: (cause: Error) => void): Thread {
  const waiting: Thread["waiting"] = new Map();
  handle.listen((message) => {
    const answer = message as Answer;
    const entry = waiting.get(answer.id);
    waiting.delete(answer.id);
    // A process may end when nothing is asked of its threads, and not before.
    handle.keepAlive?.(waiting.size > 0);
    if (answer.ok) entry?.resolve(answer.value as never);
    else entry?.reject(new Error(answer.message));
  });
  handle.onDeath(died);
  handle.keepAlive?.(false);
  return { handle, waiting };
}
