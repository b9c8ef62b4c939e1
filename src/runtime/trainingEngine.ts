import { type Dim, showShape } from "../graph/dim.js";
import { type Graph, graphOf } from "../graph/graph.js";
import type { Value } from "../graph/value.js";
import { lower } from "../onnx/lower.js";
import { encodeModel } from "../onnx/model.js";
import type { StoredTensor, StoredTensors } from "../tensor/stored.js";
import { sizeOf, tensor } from "../tensor/tensor.js";
import { check, invariant } from "../util/errors.js";
import type { Client } from "./client.js";
import { explained } from "./explain.js";
import type { Binding, PartValues, Request } from "./protocol.js";
import type { DeviceSetup, Layout, TrainingSetup } from "./setup.js";
import type {
  ParameterSpec,
  ParameterStore,
  ProgramOptions,
  StoreOptions,
  TrainingEngine,
  TrainingProgram,
} from "./training.js";
import { blobBuffers, placeWeights, sessionSpec, unchanged } from "./weights.js";
import { bindingsOf, unwired, wireInputs, wireShapes } from "./wire.js";

/** A parameter as the host knows it. */
interface Known {
  readonly shape: readonly number[];
  readonly layout: Layout | undefined;
}

/** What the host knows of a store. */
interface KnownStore {
  readonly id: number;
  readonly parameters: ReadonlyMap<string, Known>;
}

/** What stores and programs of one engine share. */
interface Context {
  readonly client: Client;
  readonly setup: DeviceSetup;
  readonly training: TrainingSetup;
  /** Stores that are not disposed. */
  readonly stores: Map<ParameterStore, KnownStore>;
}

/**
 * Settings of training sessions. Equal subexpressions stay apart: what is computed twice there was
 * to be forgotten in between.
 */
const CONFIG = {
  "optimization.disable_specified_optimizers": "CommonSubexpressionElimination",
};

const SMALLER = "Try a smaller batch or picture, or to recompute activations.";

/** Training on a connected worker. */
export function trainingEngine(client: Client, setup: DeviceSetup): TrainingEngine {
  const stores = new Map<ParameterStore, KnownStore>();
  let found: Promise<TrainingSetup> | undefined;
  const context = async (): Promise<Context> => {
    check(
      setup.training !== undefined,
      "unsupported",
      `training: ${setup.name} cannot train. Use the device cpu, or wasm in a browser.`,
    );
    found ??= setup.training(client);
    return { client, setup, training: await found, stores };
  };
  return {
    store: async (specs, options) => await createStore(await context(), specs, options),
    program: async (outputs, options) => await loadProgram(await context(), outputs, options),
  };
}

async function createStore(
  context: Context,
  specs: readonly ParameterSpec[],
  { label, optimizer, clip, ema }: StoreOptions,
): Promise<ParameterStore> {
  const { client, setup, training, stores } = context;
  const parameters = new Map<string, Known>();
  for (const { name, shape, data } of specs) {
    check(!parameters.has(name), "mismatch", `${label}: two parameters are named "${name}".`);
    check(
      data.length === sizeOf(shape),
      "mismatch",
      `${label}: the parameter "${name}" has the shape [${shape}], but ${data.length} numbers.`,
    );
    parameters.set(name, { shape, layout: training.layoutOf?.(shape) });
  }
  const ask = <R extends Request>(request: R, transfer?: readonly ArrayBuffer[]) =>
    explained(label, setup.name, () => client.request(request, transfer), SMALLER);
  const { store: id, parts } = await ask({
    kind: "createStore",
    spec: {
      parameters: specs.map(({ name, shape, rate = 1, decay = shape.length > 1 }) => {
        const feedShape = parameters.get(name)!.layout?.feedShape ?? shape;
        return { name, shape: feedShape, rate, decay };
      }),
      optimizer,
      clip,
      ema,
    },
  });
  const write = async (part: string, values: Iterable<[string, Float32Array]>): Promise<void> => {
    for (const batch of batches(values, parameters)) {
      const buffers = Object.values(batch).map((data) => data.buffer);
      await ask({ kind: "writeStore", store: id, part, values: batch }, buffers);
    }
  };
  await write(
    "params",
    specs.map(({ name, data }) => [name, data]),
  );
  await ask({ kind: "startStore", store: id });

  const checkPart = (part: string): void =>
    check(
      parts.includes(part),
      "mismatch",
      `${label}: it has no part "${part}". It has ${parts.join(", ")}.`,
    );
  const store: ParameterStore = {
    label,
    names: [...parameters.keys()],
    parts,
    async read(part) {
      checkPart(part);
      const { values } = await ask({ kind: "readStore", store: id, part });
      return new Map(
        [...parameters].map(([name, { shape, layout }]) => {
          const data = values[name]!;
          return [name, tensor(shape, layout ? layout.unpack(data) : data)];
        }),
      );
    },
    async write(part, values) {
      checkPart(part);
      for (const [name, { shape }] of values) {
        const known = parameters.get(name);
        check(known, "mismatch", `${label}: it has no parameter "${name}" to write.`);
        checkShape(`${label}: part "${part}" of "${name}"`, known.shape, shape);
      }
      await write(
        part,
        [...values].map(([name, { data }]) => [name, data]),
      );
    },
    async update({ step, learningRate }) {
      invariant(
        Number.isInteger(step) && step >= 0 && Number.isFinite(learningRate),
        `${label}: update takes a step from 0 on and a finite learning rate, got ${step}, ${learningRate}`,
      );
      return await ask({ kind: "updateStore", store: id, step, learningRate });
    },
    [Symbol.asyncDispose]: async () => {
      stores.delete(store);
      // Once the worker is gone, its memory is too.
      await client.request({ kind: "releaseStore", store: id }).catch(() => {});
    },
  };
  stores.set(store, { id, parameters });
  return store;
}

/** Numbers that are copied on their way to the worker at a time. */
const BATCH = 2 ** 24;

/** Copies of `values` in the worker's layout, some at a time. */
function* batches(
  values: Iterable<[string, Float32Array]>,
  parameters: ReadonlyMap<string, Known>,
): Generator<PartValues> {
  let batch: Record<string, Float32Array<ArrayBuffer>> = {};
  let size = 0;
  for (const [name, data] of values) {
    if (size + data.length > BATCH && size > 0) {
      yield batch;
      [batch, size] = [{}, 0];
    }
    batch[name] = parameters.get(name)!.layout?.pack(data) ?? new Float32Array(data);
    size += data.length;
  }
  yield batch;
}

function checkShape(what: string, expected: readonly number[], got: readonly Dim[]): void {
  const fits = expected.length === got.length && expected.every((d, i) => d === got[i]);
  check(fits, "mismatch", `${what}: expected the shape [${expected}], got ${showShape(got)}.`);
}

/** The gradient's name in the session. */
const gradientOf = (name: string): string => `gradient of ${name}`;

interface Owner extends Known {
  readonly store: KnownStore;
  readonly label: string;
}

async function loadProgram(
  context: Context,
  outputs: Readonly<Record<string, Value>>,
  { label, stores, gradients = new Map(), frozen = new Map() }: ProgramOptions,
): Promise<TrainingProgram> {
  const { client, setup, training } = context;
  const owners = ownersOf(context, label, stores);
  const graph = graphOf({
    ...outputs,
    ...Object.fromEntries([...gradients].map(([name, v]) => [gradientOf(name), v])),
  });
  const used = checkWeights(label, graph, owners, frozen);
  checkGradients(label, gradients, owners);
  const { place, blobs } = placeWeights(label, frozen, setup.mapsFiles);
  const { onnx, shapeFeeds } = lower(graph, {
    rules: training.rules,
    compute: "f32",
    weight: (name) => {
      const owner = owners.get(name);
      return owner ? { fed: true, shape: owner.layout?.feedShape ?? owner.shape } : place(name);
    },
    isGradient: (output) => !Object.hasOwn(outputs, output),
  });
  const binding = (at: string, name: string): Binding => ({
    at,
    store: owners.get(name)!.store.id,
    parameter: name,
  });
  const bindings = {
    weights: [...graph.params.keys()].filter((n) => owners.has(n)).map((n) => binding(n, n)),
    gradients: [...gradients.keys()].map((name) => binding(gradientOf(name), name)),
    outputs: Object.keys(outputs),
    fillsOutputs: training.fillsOutputs,
  };
  const spec = sessionSpec(setup, encodeModel(onnx), await blobs(), CONFIG);
  const ask = <R extends Request>(request: R, transfer?: readonly ArrayBuffer[]) =>
    explained(label, setup.name, () => client.request(request, transfer), SMALLER);
  const { session } = await unchanged(used, () =>
    ask({ kind: "load", spec, stores: bindings }, blobBuffers(spec)),
  );
  const needed = stores.filter((s) => s.names.some((n) => graph.params.has(n) || gradients.has(n)));
  return {
    async run(inputs) {
      for (const store of needed) {
        invariant(context.stores.has(store), `${label}: its store "${store.label}" is disposed`);
      }
      const feeds = {
        ...wireInputs(graph, label, inputs),
        ...wireShapes(shapeFeeds, bindingsOf(graph, label, inputs)),
      };
      return unwired(label, (await ask({ kind: "run", session, feeds })).outputs);
    },
    [Symbol.asyncDispose]: async () => {
      await client.request({ kind: "release", session }).catch(() => {});
    },
  };
}

/** Which store each parameter lies in. */
function ownersOf(
  context: Context,
  label: string,
  stores: readonly ParameterStore[],
): ReadonlyMap<string, Owner> {
  const owners = new Map<string, Owner>();
  for (const given of stores) {
    const store = context.stores.get(given);
    invariant(store, `${label}: the store "${given.label}" is disposed or another engine's`);
    for (const [name, known] of store.parameters) {
      const other = owners.get(name);
      check(
        other === undefined,
        "mismatch",
        `${label}: the parameter "${name}" is in two stores, "${other?.label}" and "${given.label}". Leave one out.`,
      );
      owners.set(name, { ...known, store, label: given.label });
    }
  }
  return owners;
}

/** Throws "mismatch" unless each weight is in a store or frozen, in its shape; returns the frozen ones. */
function checkWeights(
  label: string,
  graph: Graph,
  owners: ReadonlyMap<string, Owner>,
  frozen: StoredTensors,
): StoredTensor[] {
  const used: StoredTensor[] = [];
  for (const [name, { shape }] of graph.params) {
    const owner = owners.get(name);
    const stored = frozen.get(name);
    check(
      owner ?? stored,
      "mismatch",
      `${label}: the weight "${name}" is in no store and not among the frozen ones.`,
    );
    const where = owner ? `the store "${owner.label}"` : "the frozen weights";
    const found = (owner ?? stored)!.shape;
    checkShape(`${label}: the weight "${name}" of ${where}`, shape as readonly number[], found);
    if (!owner) used.push(stored!);
  }
  return used;
}

function checkGradients(
  label: string,
  gradients: ReadonlyMap<string, Value>,
  owners: ReadonlyMap<string, Owner>,
): void {
  for (const [name, { shape }] of gradients) {
    const owner = owners.get(name);
    check(
      owner,
      "mismatch",
      `${label}: there is a gradient for "${name}", which is in none of the stores.`,
    );
    checkShape(`${label}: the gradient of "${name}"`, owner.shape, shape);
  }
}
