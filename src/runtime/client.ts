import type { WorkerHandle } from "../platform/worker.js";
import { TintypeError } from "../util/errors.js";
import type { Replies, ReplyMessage, Request } from "./protocol.js";

/** The worker's sessions, seen from the host: requests out, replies in. */
export interface Client {
  request<R extends Request>(
    request: R,
    transfer?: readonly ArrayBuffer[],
  ): Promise<Replies[R["kind"]]>;
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
  let next = 1;

  worker.listen((message) => {
    const reply = message as ReplyMessage;
    const entry = waiting.get(reply.id);
    waiting.delete(reply.id);
    if (reply.ok) entry?.resolve(reply.value as never);
    else entry?.reject(new Error(reply.message));
  });
  worker.onDeath((cause) => {
    death = new TintypeError(
      "device",
      `The engine's worker died (${cause.message}). If memory ran out, try --low-memory or a smaller picture.`,
      { cause },
    );
    for (const { reject } of waiting.values()) reject(death);
    waiting.clear();
  });

  return {
    request(request, transfer) {
      if (death) return Promise.reject(death);
      const id = next++;
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve: resolve as Waiting["resolve"], reject });
        worker.post({ id, request }, transfer);
      });
    },
    async terminate() {
      death ??= new TintypeError("aborted", "the engine was closed");
      for (const { reject } of waiting.values()) reject(death);
      waiting.clear();
      await worker.terminate();
    },
  };
}
