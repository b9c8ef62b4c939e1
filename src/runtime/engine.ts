import { type Bindings, type Dim, evaluateDim } from "../graph/dim.js";
import type { Graph } from "../graph/graph.js";
import { formatBytes } from "../platform/formatBytes.js";
import type { StoredTensors } from "../tensor/stored.js";
import type { Tensor } from "../tensor/tensor.js";
import { check, invariant } from "../util/errors.js";
import type { BlockedSetup } from "./blocks.js";
import type { Client } from "./client.js";
import { explained } from "./explain.js";
import { type LoadOptions, openSession, type Workshop } from "./openSession.js";
import type { Replies } from "./protocol.js";
import { type Fed, type Resident, residentsOf } from "./resident.js";
import type { DeviceName, DeviceSetup } from "./setup.js";
import type { TrainingEngine } from "./training.js";
import { trainingEngine } from "./trainingEngine.js";
import { bindingsOf, unwired, wireInputs, wireShapes } from "./wire.js";

export type { LoadOptions } from "./openSession.js";
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
      loadProgram({ client, setup, blocks }, residents, graph, weights, options),
    training: trainingEngine(client, setup),
    [Symbol.asyncDispose]: () => client.terminate(),
  };
}

async function loadProgram(
  workshop: Workshop,
  residents: ReturnType<typeof residentsOf>,
  graph: Graph,
  weights: StoredTensors,
  options: LoadOptions,
): Promise<Program> {
  const { client, setup } = workshop;
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
