import type * as Ort from "onnxruntime-common";
import type { Port } from "../platform/worker.js";
import { invariant } from "../util/errors.js";
import type {
  Replies,
  ReplyMessage,
  Request,
  RequestMessage,
  SessionSpec,
  WireTensor,
} from "./protocol.js";

/** What ONNX Runtime's packages for Node.js and the browser have in common. */
export type OrtModule = Pick<typeof Ort, "InferenceSession" | "Tensor">;

/** Nests "a.b.c" -> value, as ONNX Runtime's `extra` option wants its entries. */
function nested(config: Readonly<Record<string, string>>): Record<string, unknown> {
  const root: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(config)) {
    const path = key.split(".");
    const last = path.pop()!;
    let at = root;
    for (const part of path) {
      at[part] ??= {};
      at = at[part] as Record<string, unknown>;
    }
    at[last] = value;
  }
  return root;
}

function sessionOptions(spec: SessionSpec): Ort.InferenceSession.SessionOptions {
  return {
    executionProviders: [spec.provider],
    graphOptimizationLevel: spec.optimization,
    // Planned memory is kept beside the arena that the first run of each size has filled: a second
    // decode would take 2.2 GB instead of 1.4, and no run is faster for it.
    enableMemPattern: false,
    ...(spec.threads === undefined ? {} : { intraOpNumThreads: spec.threads }),
    ...(spec.saveTo === undefined ? {} : { optimizedModelFilePath: spec.saveTo }),
    ...(spec.profile === undefined
      ? {}
      : { enableProfiling: true, profileFilePrefix: spec.profile }),
    externalData: spec.blobs.map(({ path, data }) => ({ path, data })),
    extra: nested(spec.config),
    logSeverityLevel: 4, // what fails is thrown as well
  };
}

/** Answers the requests that arrive at `port` with sessions of `ort`. */
export function hostSessions(ort: OrtModule, port: Port): void {
  const sessions = new Map<number, Ort.InferenceSession>();

  const session = (id: number): Ort.InferenceSession => {
    const found = sessions.get(id);
    invariant(found !== undefined, `no session ${id}`);
    return found;
  };

  const load = async (id: number, spec: SessionSpec): Promise<Replies["load"]> => {
    const options = sessionOptions(spec);
    // Two overloads, one call each: a path is mapped, bytes are parsed.
    const created =
      typeof spec.model === "string"
        ? await ort.InferenceSession.create(spec.model, options)
        : await ort.InferenceSession.create(spec.model, options);
    sessions.set(id, created);
    return { session: id };
  };

  const run = async (request: Extract<Request, { kind: "run" }>): Promise<Replies["run"]> => {
    const feeds: Record<string, Ort.Tensor> = {};
    for (const [name, { type, data, shape }] of Object.entries(request.feeds)) {
      feeds[name] = new ort.Tensor(type as "float32", data as Float32Array, shape);
    }
    const results = await session(request.session).run(feeds);
    const outputs: Record<string, WireTensor> = {};
    for (const [name, value] of Object.entries(results)) {
      const data = value.data as Float32Array;
      outputs[name] = { type: "float32", shape: value.dims, data };
    }
    return { outputs };
  };

  const answer = async (id: number, request: Request): Promise<Replies[Request["kind"]]> => {
    if (request.kind === "load") return await load(id, request.spec);
    if (request.kind === "run") return await run(request);
    await session(request.session).release();
    sessions.delete(request.session);
    return {};
  };

  const post = (reply: ReplyMessage, transfer: readonly ArrayBuffer[]): void =>
    port.post(reply, transfer);

  // One request at a time: sessions share the machine's threads.
  let queue: Promise<void> = Promise.resolve();
  port.listen((message) => {
    const { id, request } = message as RequestMessage;
    queue = queue.then(async () => {
      try {
        const value = await answer(id, request);
        const outputs = "outputs" in value ? Object.values(value.outputs) : [];
        const buffers = new Set(outputs.map((t) => t.data.buffer as ArrayBuffer));
        post({ id, ok: true, value }, [...buffers]);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        post({ id, ok: false, message }, []);
      }
    });
  });
}
