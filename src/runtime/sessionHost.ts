import type * as Ort from "onnxruntime-common";
import type { Port } from "../platform/worker.js";
import { invariant } from "../util/errors.js";
import { type HostFiles, weightMaker } from "./makeHost.js";
import type { OrtModule } from "./ort.js";
import type {
  Binding,
  Handlers,
  Replies,
  ReplyMessage,
  Request,
  RequestMessage,
  SessionSpec,
  StoreBindings,
  WireFeeds,
  WireResident,
  WireTensor,
} from "./protocol.js";
import { type Residents, residents } from "./residentHost.js";
import { type Hosted, storeHandlers } from "./storeHost.js";

export type { OrtModule } from "./ort.js";

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
    // decode would take 2.2 GB instead of 1.4, training a UNet of 11 million parameters 1.4 instead
    // of 1.0, and no run is faster for it.
    enableMemPattern: false,
    enableCpuMemArena: spec.arena ?? true,
    ...(spec.threads === undefined ? {} : { intraOpNumThreads: spec.threads }),
    ...(spec.resident ? { preferredOutputLocation: "gpu-buffer" } : {}),
    ...(spec.saveTo === undefined ? {} : { optimizedModelFilePath: spec.saveTo }),
    ...(spec.profile === undefined
      ? {}
      : { enableProfiling: true, profileFilePrefix: spec.profile }),
    externalData: spec.blobs.map(({ path, data }) => ({ path, data })),
    extra: nested(spec.config),
    logSeverityLevel: 4, // what fails is thrown as well
  };
}

/** A session, and the parameters that it reads and finds gradients of. */
interface HostedSession {
  readonly session: Ort.InferenceSession;
  readonly stores: StoreBindings | undefined;
}

/** What a worker has of the place that it runs in. */
export interface HostPlace {
  /** Gives back at once what stores that are released have held. */
  readonly collectGarbage?: () => void;
  readonly files?: HostFiles;
}

/** Answers the requests that arrive at `port` with sessions of `ort`. */
export function hostSessions(
  ort: OrtModule,
  port: Port,
  { collectGarbage = () => {}, files }: HostPlace = {},
): void {
  const { handlers: stores, parameter } = storeHandlers(ort, collectGarbage);
  const { make, rest } = weightMaker(files);
  const handlers: Handlers = { ...sessionHandlers(ort, parameter), ...stores, make };
  const post = (reply: ReplyMessage, transfer: readonly ArrayBuffer[]): void =>
    port.post(reply, transfer);

  // One request at a time: sessions share the machine's threads.
  let queue: Promise<void> = Promise.resolve();
  port.listen((message) => {
    const { id, request } = message as RequestMessage;
    queue = queue.then(async () => {
      if (request.kind !== "make") rest();
      try {
        const value = await handlers[request.kind](request as never, id);
        post({ id, ok: true, value }, buffersOf(value));
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        post({ id, ok: false, message }, []);
      }
    });
  });
}

/** Answers what is asked of sessions; `parameter` finds those that they are fed. */
function sessionHandlers(
  ort: OrtModule,
  parameter: (binding: Binding) => Hosted,
): Pick<Handlers, "load" | "run" | "forget" | "release"> {
  const sessions = new Map<number, HostedSession>();
  const staying = residents();
  const find = (id: number): HostedSession => {
    const found = sessions.get(id);
    invariant(found !== undefined, `no session ${id}`);
    return found;
  };
  return {
    async load({ spec, stores }, id) {
      const options = sessionOptions(spec);
      // Two overloads, one call each: a path is mapped, bytes are parsed.
      const session =
        typeof spec.model === "string"
          ? await ort.InferenceSession.create(spec.model, options)
          : await ort.InferenceSession.create(spec.model, options);
      sessions.set(id, { session, stores });
      return { session: id };
    },
    async run(request) {
      const feeds = tensorsOf(ort, request.feeds, staying);
      const { session, stores } = find(request.session);
      const results = stores
        ? await runOverStores(session, feeds, stores, parameter)
        : await session.run(feeds);
      const outputs: Record<string, WireTensor> = {};
      const kept: Record<string, WireResident> = {};
      for (const [name, value] of Object.entries(results)) {
        if (value.location === "gpu-buffer") kept[name] = staying.keep(value);
        else {
          const data = value.data as Float32Array;
          outputs[name] = { type: "float32", shape: value.dims, data };
        }
      }
      return { outputs, residents: kept };
    },
    forget({ residents }) {
      for (const resident of residents) staying.forget(resident);
      return {};
    },
    async release({ session }) {
      await find(session).session.release();
      sessions.delete(session);
      return {};
    },
  };
}

/** What a run is fed, as the engine takes it. */
function tensorsOf(
  ort: OrtModule,
  feeds: WireFeeds,
  staying: Residents,
): Record<string, Ort.Tensor> {
  const tensors: Record<string, Ort.Tensor> = {};
  for (const [name, feed] of Object.entries(feeds)) {
    tensors[name] =
      feed.type === "resident"
        ? staying.find(feed)
        : new ort.Tensor(feed.type as "float32", feed.data as Float32Array, feed.shape);
  }
  return tensors;
}

/** The buffers of a reply, which move to the host. */
function buffersOf(value: Replies[Request["kind"]]): ArrayBuffer[] {
  const arrays =
    "outputs" in value
      ? Object.values(value.outputs).map((t) => t.data)
      : "values" in value
        ? Object.values(value.values)
        : [];
  return [...new Set(arrays.map((a) => a.buffer as ArrayBuffer))];
}

/** Runs with weights from stores; the gradients stay there, the outputs are returned. */
async function runOverStores(
  session: Ort.InferenceSession,
  feeds: Record<string, Ort.Tensor>,
  { weights, gradients, outputs, fillsOutputs }: StoreBindings,
  parameter: (binding: Binding) => Hosted,
): Promise<Ort.InferenceSession.ReturnType> {
  for (const binding of weights) feeds[binding.at] = parameter(binding).weight;
  const bound = gradients.map((binding) => ({ at: binding.at, hosted: parameter(binding) }));
  const fetches: Record<string, Ort.Tensor | null> = {};
  for (const name of outputs) fetches[name] = null;
  for (const { at, hosted } of bound) fetches[at] = fillsOutputs ? hosted.gradientTarget() : null;
  const results = { ...(await session.run(feeds, fetches)) };
  for (const { at, hosted } of bound) {
    if (!fillsOutputs) {
      (hosted.gradientTarget().data as Float32Array).set(results[at]!.data as Float32Array);
    }
    hosted.gathered();
    delete results[at];
  }
  return results;
}
