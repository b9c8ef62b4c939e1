import { type Bindings, bindShape, type Dim, evaluateDim, showShape } from "../graph/dim.js";
import type { Graph } from "../graph/graph.js";
import type { ComputeType, ShapeFeed } from "../onnx/builder.js";
import { lower, type PlacedWeight } from "../onnx/lower.js";
import { encodeModel } from "../onnx/model.js";
import type { LoweringRules } from "../onnx/rules.js";
import { formatBytes } from "../platform/formatBytes.js";
import { readTensor } from "../tensor/convert.js";
import type { StoredTensor, StoredTensors } from "../tensor/stored.js";
import { type Tensor, tensor } from "../tensor/tensor.js";
import { check, invariant, TintypeError } from "../util/errors.js";
import type { ProgramCache } from "./cache.js";
import type { Client } from "./client.js";
import type { SessionSpec, WeightBlob, WireTensors } from "./protocol.js";

/** Where graphs can be run. */
export type DeviceName = "cpu" | "webgpu" | "cuda" | "coreml" | "dml" | "wasm";

/** A graph that is ready to run, with its weights. Holds engine memory until it is disposed. */
export interface Program extends AsyncDisposable {
  /** Runs once; sizes may differ from run to run wherever the graph's shapes are symbols. */
  run(inputs: Readonly<Record<string, Tensor>>): Promise<Readonly<Record<string, Tensor>>>;
}

/** Settings of one program. */
export interface LoadOptions {
  /** What messages and the cache call it: "unet of stable-diffusion-v1-5". */
  readonly label: string;
  /** Computes in float32 even where the device would take half precision. */
  readonly fullPrecision?: boolean;
}

/** One device with the sessions that live on it. Closing it ends its worker. */
export interface Engine extends AsyncDisposable {
  readonly device: DeviceName;
  /** Compiles a graph over stored weights. Throws "mismatch" when a weight is missing or misshapen. */
  load(graph: Graph, weights: StoredTensors, options: LoadOptions): Promise<Program>;
}

/** How one device is driven. */
export interface DeviceSetup {
  readonly name: DeviceName;
  /** ONNX Runtime's name of the execution provider. */
  readonly provider: string;
  readonly rules: LoweringRules;
  readonly compute: ComputeType;
  readonly threads: number | undefined;
  /** Whether the engine reads weights from files itself, by path and offset. */
  readonly mapsFiles: boolean;
  /** Bytes that one buffer may have; beyond it some kernels answer zeros. */
  readonly bufferBytes?: number | undefined;
  /** Session configuration entries. */
  readonly config: Readonly<Record<string, string>>;
  /** Compiled programs on disk; undefined where they cannot be kept. */
  readonly cache: ProgramCache | undefined;
}

/** External weights are named relative to the root, so that any file can be reached. */
const FILES_FROM_ROOT = { "session.model_external_initializers_file_folder_path": "/" };

/** An engine over a connected worker. */
export function engine(client: Client, setup: DeviceSetup): Engine {
  return {
    device: setup.name,
    load: (graph, weights, options) => loadProgram(client, setup, graph, weights, options),
    [Symbol.asyncDispose]: () => client.terminate(),
  };
}

async function loadProgram(
  client: Client,
  setup: DeviceSetup,
  graph: Graph,
  weights: StoredTensors,
  { label, fullPrecision = false }: LoadOptions,
): Promise<Program> {
  const { place, blobs } = placeWeights(label, weights, setup.mapsFiles);
  const compute = fullPrecision ? "f32" : setup.compute;
  const { onnx, shapeFeeds, buffers } = lower(graph, {
    rules: setup.rules,
    compute,
    weight: place,
  });
  const spec: SessionSpec = {
    model: encodeModel(onnx),
    blobs: await blobs(),
    provider: setup.provider,
    threads: setup.threads,
    optimization: "all",
    config: { ...(setup.mapsFiles ? FILES_FROM_ROOT : {}), ...setup.config },
    saveTo: undefined,
    profile: undefined,
  };
  const used = [...graph.params.keys()].map((name) => weights.get(name)!);
  const { session } = await explained(label, setup.name, async () => {
    await checkUnchanged(used);
    try {
      return await (setup.cache
        ? setup.cache.load(client, spec, { label, weights: used })
        : client.request({ kind: "load", spec }, blobBuffers(spec)));
    } catch (error) {
      await checkUnchanged(used); // an engine that misses bytes does not say of which file
      throw error;
    }
  });
  return {
    async run(inputs) {
      const feeds = { ...wireInputs(graph, label, inputs) };
      const bindings = bindingsOf(graph, label, inputs);
      checkBuffers(label, setup, buffers, bindings);
      Object.assign(feeds, wireShapes(shapeFeeds, bindings));
      const reply = await explained(label, setup.name, () =>
        client.request({ kind: "run", session, feeds }),
      );
      return Object.fromEntries(
        Object.entries(reply.outputs).map(([name, { shape, data }]) => {
          invariant(data instanceof Float32Array, `${label}: output ${name} is not float32`);
          return [name, tensor(shape, data as Tensor["data"])];
        }),
      );
    },
    [Symbol.asyncDispose]: async () => {
      // Once the worker is gone, its memory is too.
      await client.request({ kind: "release", session }).catch(() => {});
    },
  };
}

const blobBuffers = (spec: SessionSpec): ArrayBuffer[] => spec.blobs.map((b) => b.data.buffer);

/** Weights that are read from a network or a Blob at the same time. */
const READS_AT_ONCE = 16;

/** Weights in files are named by path and offset; others are read when the program is loaded. */
function placeWeights(
  label: string,
  weights: StoredTensors,
  mapsFiles: boolean,
): { place: (name: string) => PlacedWeight; blobs: () => Promise<WeightBlob[]> } {
  const inMemory = new Map<string, StoredTensor>();
  return {
    place(name) {
      const weight = weights.get(name);
      check(weight !== undefined, "mismatch", `${label}: the weight "${name}" is missing.`);
      const { dtype, source, offset, length } = weight;
      if (mapsFiles && source.path !== undefined && length > 0) {
        const location = source.path.replace(/^\/+/, "");
        return { dtype, data: { kind: "external", location, offset, length } };
      }
      inMemory.set(name, weight);
      // onnxruntime-web's WebGPU build cannot cast bfloat16.
      const widened = dtype === "bf16" ? 2 : 1;
      return {
        dtype: dtype === "bf16" ? "f32" : dtype,
        data: { kind: "external", location: name, offset: 0, length: widened * length },
      };
    },
    async blobs() {
      const blobs: WeightBlob[] = [];
      const entries = [...inMemory];
      for (let i = 0; i < entries.length; i += READS_AT_ONCE) {
        const group = entries.slice(i, i + READS_AT_ONCE).map(async ([path, weight]) => {
          return { path, data: await readBlob(weight) };
        });
        blobs.push(...(await Promise.all(group)));
      }
      return blobs;
    },
  };
}

/** A weight's bytes in a buffer of their own, which moves to the worker; bfloat16 as float32. */
async function readBlob(weight: StoredTensor): Promise<Uint8Array<ArrayBuffer>> {
  if (weight.dtype === "bf16") return new Uint8Array((await readTensor(weight)).data.buffer);
  return (await weight.source.read(weight.offset, weight.length)).slice();
}

/** Throws "io" or "not-found", naming the file, when one that the engine maps is not what was opened. */
async function checkUnchanged(weights: readonly StoredTensor[]): Promise<void> {
  for (const source of new Set(weights.map((w) => w.source))) {
    if (source.path !== undefined) await source.read(0, Math.min(1, source.size));
  }
}

/** Refuses sizes at which the device would silently compute something else. */
function checkBuffers(
  label: string,
  { name, bufferBytes = Number.POSITIVE_INFINITY }: DeviceSetup,
  buffers: readonly Dim[],
  bindings: Bindings,
): void {
  const largest = buffers.reduce((n: number, d) => Math.max(n, evaluateDim(d, bindings)), 0);
  const bytes = 4 * largest;
  check(
    bytes <= bufferBytes,
    "out-of-memory",
    `${label}: this size needs a buffer of ${formatBytes(bytes)}, and ${name} allows ` +
      `${formatBytes(bufferBytes)} here. Use a smaller picture or batch, or --device cpu.`,
  );
}

/** Rewords what the engine throws: which model, on which device, and what may help. */
async function explained<T>(label: string, device: DeviceName, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    if (cause instanceof TintypeError) throw cause;
    const reason = plainReason(cause instanceof Error ? cause.message : String(cause));
    if (/alloc|out of memory|bad_alloc/i.test(reason)) {
      throw new TintypeError(
        "out-of-memory",
        `${label}: memory ran out on ${device} (${reason}). Try --low-memory or a smaller picture.`,
        { cause },
      );
    }
    throw new TintypeError("device", `${label}: ${device} refused (${reason}).`, { cause });
  }
}

/** ONNX Runtime's message without the C++ that it comes from. */
function plainReason(message: string): string {
  return message
    .replace(/^.*\[ONNXRuntimeError\] : \d+ : \w+ : /s, "")
    .replace(/\/onnxruntime_src\/\S+:\d+ .*?\) (?=[A-Z])/gs, "")
    .replace(/^\w+\.(?:cc|h):\d+ \w+ /, "")
    .replace(/\s+/g, " ")
    .replace(/[\s.]+$/, "");
}

function wireInputs(
  graph: Graph,
  label: string,
  inputs: Readonly<Record<string, Tensor>>,
): WireTensors {
  return Object.fromEntries(
    [...graph.inputs.keys()].map((name) => {
      const fed = inputs[name];
      invariant(fed !== undefined, `${label}: input "${name}" is missing`);
      return [name, { type: "float32", shape: fed.shape, data: fed.data }];
    }),
  );
}

function bindingsOf(
  graph: Graph,
  label: string,
  inputs: Readonly<Record<string, Tensor>>,
): Bindings {
  const bindings: Record<string, number> = {};
  for (const [name, v] of graph.inputs) {
    invariant(
      bindShape(v.shape, inputs[name]!.shape, bindings),
      `${label}: input "${name}" is [${inputs[name]!.shape}], expected ${showShape(v.shape)}`,
    );
  }
  return bindings;
}

function wireShapes(feeds: readonly ShapeFeed[], bindings: Bindings): WireTensors {
  return Object.fromEntries(
    feeds.map(({ name, dims }) => {
      const data = BigInt64Array.from(dims, (d) => BigInt(evaluateDim(d, bindings)));
      return [name, { type: "int64", shape: [dims.length], data }];
    }),
  );
}
