import { type Bindings, type Dim, evaluateDim } from "../graph/dim.js";
import type { Graph } from "../graph/graph.js";
import { type LoweredGraph, lower } from "../onnx/lower.js";
import { encodeModel } from "../onnx/model.js";
import { formatBytes } from "../platform/formatBytes.js";
import type { StoredTensor, StoredTensors } from "../tensor/stored.js";
import type { Tensor } from "../tensor/tensor.js";
import { check, invariant } from "../util/errors.js";
import { type BlockedSetup, inBlocks } from "./blocks.js";
import type { CompleteSpec } from "./cache/programs.js";
import { type Client, loadSession } from "./client.js";
import { explained } from "./explain.js";
import type { Replies, SessionSpec } from "./protocol.js";
import { type Fed, type Resident, residentsOf } from "./resident.js";
import type { DeviceName, DeviceSetup } from "./setup.js";
import type { TrainingEngine } from "./training.js";
import { trainingEngine } from "./trainingEngine.js";
import { placeWeights, sessionSpec, unchanged } from "./weights.js";
import { bindingsOf, unwired, wireInputs, wireShapes } from "./wire.js";

export type { Fed, Resident } from "./resident.js";
export type { DeviceName, DeviceSetup } from "./setup.js";

/** A graph that is ready to run, with its weights. Holds engine memory until it is disposed. */
export interface Program extends AsyncDisposable {
  /** Runs once; sizes may differ from run to run wherever the graph's shapes are symbols. */
  run(inputs: Readonly<Record<string, Tensor>>): Promise<Readonly<Record<string, Tensor>>>;
  /** The same over what stays on the device; undefined where nothing can. */
  readonly onDevice?: OnDevice;
}

/** Runs that are fed what others left on the device. */
export interface OnDevice {
  /** As the program's own, where its results come to the host. */
  run(inputs: Readonly<Record<string, Fed>>): Promise<Readonly<Record<string, Tensor>>>;
  /** Where they stay: of programs that were loaded to hand them on. */
  readonly leave?: (
    inputs: Readonly<Record<string, Fed>>,
  ) => Promise<Readonly<Record<string, Resident>>>;
}

/** Settings of one program. */
export interface LoadOptions {
  /** What messages and the cache call it: "unet of stable-diffusion-v1-5". */
  readonly label: string;
  /** Computes in float32 even where the device would take half precision. */
  readonly fullPrecision?: boolean;
  /** Writes what each operator took, as ONNX Runtime's profile, to PROFILE_date.json when it is disposed. */
  readonly profile?: string | undefined;
  /**
   * The same weights in files that the engine can map, for those that are worked out: asked for where
   * no compiled program is found, and disposed of once there is one. Undefined where they stay in memory.
   */
  readonly settle?: ((weights: StoredTensors) => Promise<SettledWeights | undefined>) | undefined;
  /** Whether the compiled program is needed just once and not kept on disk. */
  readonly once?: boolean | undefined;
  /** Whether its results are for other programs alone: on devices that can, they stay there then. */
  readonly handsOn?: boolean | undefined;
}

/** Weights that lie in files for as long as a program is loaded from them. */
export interface SettledWeights extends AsyncDisposable {
  readonly weights: StoredTensors;
}

/** One device with the sessions that live on it. Closing it ends its worker. */
export interface Engine extends AsyncDisposable {
  readonly device: DeviceName;
  /** Compiles a graph over stored weights. Throws "mismatch" when a weight is missing or misshapen. */
  load(graph: Graph, weights: StoredTensors, options: LoadOptions): Promise<Program>;
  /** Trains parameters. Throws "unsupported" where the device cannot. */
  readonly training: TrainingEngine;
}

/** An engine over a connected worker. */
export function engine(client: Client, setup: DeviceSetup): Engine {
  const residents = residentsOf(client);
  let asked: Promise<BlockedSetup | undefined> | undefined;
  const blocks = async (): Promise<BlockedSetup | undefined> => {
    asked ??= setup.blocks?.(client);
    return await asked;
  };
  return {
    device: setup.name,
    load: (graph, weights, options) =>
      loadProgram({ client, setup, residents, blocks }, graph, weights, options),
    training: trainingEngine(client, setup),
    [Symbol.asyncDispose]: () => client.terminate(),
  };
}

/** What programs of one engine are made with. */
interface Workshop {
  readonly client: Client;
  readonly setup: DeviceSetup;
  readonly residents: ReturnType<typeof residentsOf>;
  readonly blocks: () => Promise<BlockedSetup | undefined>;
}

async function loadProgram(
  workshop: Workshop,
  graph: Graph,
  weights: StoredTensors,
  options: LoadOptions,
): Promise<Program> {
  const { client, setup, residents } = workshop;
  const { label, handsOn = false } = options;
  const leaves = handsOn && setup.keepsResults === true;
  const { session, shapeFeeds, buffers } = await openSession(workshop, graph, weights, options);
  const run = async (inputs: Readonly<Record<string, Fed>>): Promise<Replies["run"]> => {
    const bindings = bindingsOf(graph, label, inputs);
    checkBuffers(label, setup, buffers, bindings);
    const feeds = { ...wireInputs(graph, label, inputs), ...wireShapes(shapeFeeds, bindings) };
    return await explained(label, setup.name, () =>
      client.request({ kind: "run", session, feeds }),
    );
  };
  const toHost: OnDevice["run"] = async (inputs) => {
    invariant(!leaves, `${label}: its results stay on the device`);
    return unwired(label, (await run(inputs)).outputs);
  };
  const leave: OnDevice["leave"] = async (inputs) => residents((await run(inputs)).residents);
  return {
    run: toHost,
    ...(setup.keepsResults ? { onDevice: { run: toHost, ...(leaves ? { leave } : {}) } } : {}),
    [Symbol.asyncDispose]: async () => {
      // Once the worker is gone, its memory is too.
      await client.request({ kind: "release", session }).catch(() => {});
    },
  };
}

/** A session, and what it must be fed beside the graph's inputs. */
interface OpenSession extends Pick<LoweredGraph, "shapeFeeds" | "buffers"> {
  readonly session: number;
}

/** A session over a graph's weights: in blocks where they can be kept so, or as they are. */
async function openSession(
  workshop: Workshop,
  graph: Graph,
  weights: StoredTensors,
  options: LoadOptions,
): Promise<OpenSession> {
  const { client, setup } = workshop;
  const { label, settle, once = false } = options;
  const origin = [...graph.params.keys()].flatMap((name) => weights.get(name) ?? []);
  const opened = async (): Promise<OpenSession> => {
    const isKept = !once && setup.cache?.keeps(origin) === true;
    const overBlocks = isKept ? await openBlocks(workshop, graph, weights, options) : undefined;
    if (overBlocks) return overBlocks;
    const { lowered, spec, complete } = specOver(setup, graph, weights, options);
    const settled = async (): Promise<CompleteSpec | undefined> => {
      const files = await settle?.(weights);
      return (
        files && { ...files, spec: await specOver(setup, graph, files.weights, options).complete() }
      );
    };
    const { session } = setup.cache
      ? await setup.cache.load(client, { label, weights: origin, once, spec, complete, settled })
      : await loadSession(client, await complete());
    return { ...lowered, session };
  };
  return await explained(label, setup.name, () => unchanged(origin, opened));
}

/** A session over weights in blocks; undefined where there are none, or they cannot be kept. */
async function openBlocks(
  { client, setup, blocks }: Workshop,
  graph: Graph,
  weights: StoredTensors,
  options: LoadOptions,
): Promise<OpenSession | undefined> {
  const blocked = await blocks();
  const wanted = blocked && inBlocks(graph, weights, blocked);
  const kept = wanted && (await setup.cache?.keep({ label: options.label, weights: wanted }));
  if (!blocked || !kept) return undefined;
  const { lowered, spec } = specOver({ ...setup, rules: blocked.rules }, graph, kept, options);
  // Convolutions' weights are in order, and linear layers are no faster over packed ones.
  const config = { ...spec.config, "session.disable_prepacking": "1" };
  const { session } = await loadSession(client, { ...spec, config, optimization: "extended" });
  return { ...lowered, session };
}

/** What a session over these weights is made of, and how to complete it with those in no file. */
function specOver(
  setup: DeviceSetup,
  graph: Graph,
  weights: StoredTensors,
  { label, fullPrecision = false, profile, handsOn = false }: LoadOptions,
) {
  const compute = fullPrecision ? "f32" : setup.compute;
  const { place, blobs } = placeWeights(label, weights, { mapsFiles: setup.mapsFiles, compute });
  const lowered = lower(graph, { rules: setup.rules, compute, weight: place });
  const used = [...graph.params.keys()].map((name) => weights.get(name)!);
  const spec = sessionSpec(setup, encodeModel(lowered.onnx), [], {
    config: waiting(setup, used),
    profile,
    resident: handsOn && setup.keepsResults === true,
    optimization: optimizationOf(used),
  });
  return { lowered, spec, complete: async () => ({ ...spec, blobs: await blobs() }) };
}

/**
 * Convolutions of floats are worth the seconds that the engine takes to lay out their weights anew. A
 * program in 8 bits has next to none.
 */
function optimizationOf(weights: readonly StoredTensor[]): SessionSpec["optimization"] {
  return weights.some(({ dtype }) => dtype === "i8") ? "extended" : "all";
}

const SPINNING = "session.intra_op.allow_spinning";

/** Bytes of weights up to which a program's pieces of work are over in no time. */
const SMALL = 64 * 2 ** 20;

/**
 * How threads of the CPU wait for their next piece of work. Those that spin take the processor from
 * each other, and from other programs, for as long as they wait: a small program then took six times
 * as long on a busy machine.
 */
function waiting(
  { name, config }: DeviceSetup,
  weights: readonly StoredTensor[],
): SessionSpec["config"] {
  if (SPINNING in config) return {};
  const bytes = weights.reduce((n, { length }) => n + length, 0);
  return name === "cpu" && bytes < SMALL ? { [SPINNING]: "0" } : {};
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
