import type { WorkerHandle } from "../platform/worker.js";
import { TintypeError } from "../util/errors.js";
import type { Replies, ReplyMessage, Request, SessionSpec, StoreBindings } from "./protocol.js";

/** The worker's sessions, seen from the host: requests out, replies in. */
export interface Client {
  request<R extends Request>(
    request: R,
    transfer?: readonly ArrayBuffer[],
  ): Promise<Replies[R["kind"]]>;
  /** Fails what waits, lets the worker finish what it runs, and ends it. */
  terminate(): Promise<void>;
}

interface Waiting {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

/** Talks to a worker that runs `hostSessions`. */
export function connect(worker: WorkerHandle): Client {
  const waiting = new Map<number, Waiting>();
  let death: Error | undefined;
  let closing: Promise<void> | undefined;
  let idle = (): void => {};
  let next = 1;

  /** A process may end when nothing is asked of its worker, and not before. */
  const settle = (id: number): Waiting | undefined => {
    const entry = waiting.get(id);
    waiting.delete(id);
    worker.keepAlive?.(waiting.size > 0);
    if (waiting.size === 0) idle();
    return entry;
  };

  worker.listen((message) => {
    const reply = message as ReplyMessage;
    const entry = settle(reply.id);
    if (reply.ok) entry?.resolve(reply.value as never);
    else entry?.reject(new Error(reply.message));
  });
  worker.keepAlive?.(false);
  worker.onDeath((cause) => {
    death ??= new TintypeError("device", `The engine's worker died (${cause.message}).`, {
      cause,
      advice: "If memory ran out, try a smaller picture or batch, or --low-memory.",
    });
    for (const { reject } of waiting.values()) reject(death);
    waiting.clear();
    idle();
  });

  const close = async (): Promise<void> => {
    death ??= new TintypeError("aborted", "the engine was closed");
    for (const { reject } of waiting.values()) reject(death);
    // A thread that is ended inside the engine takes the whole process with it.
    if (waiting.size > 0) {
      await new Promise<void>((resolve) => {
        idle = resolve;
      });
    }
    await worker.terminate();
  };

  return {
    request(request, transfer) {
      if (death) return Promise.reject(death);
      const id = next++;
      return new Promise((resolve, reject) => {
        worker.post({ id, request }, transfer);
        waiting.set(id, { resolve: resolve as Waiting["resolve"], reject });
        worker.keepAlive?.(true);
      });
    },
    terminate() {
      closing ??= close();
      return closing;
    },
  };
}

/** Makes a session; its weights in memory move to the worker. */
export async function loadSession(
  client: Client,
  spec: SessionSpec,
  stores?: StoreBindings,
): Promise<Replies["load"]> {
  const request = { kind: "load", spec, ...(stores ? { stores } : {}) } as const;
  return await client.request(
    request,
    spec.blobs.map(({ data }) => data.buffer),
  );
}
