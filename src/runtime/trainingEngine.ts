import { type Graph, graphOf } from "../graph/graph.js";
import type { Value } from "../graph/value.js";
import { lower } from "../onnx/lower.js";
import { encodeModel } from "../onnx/model.js";
import type { StoredTensor, StoredTensors } from "../tensor/stored.js";
import { check, invariant } from "../util/errors.js";
import type { Client } from "./client.js";
import { explained } from "./explain.js";
import {
  checkShape,
  createStore,
  type KnownParameter,
  type KnownStore,
  type TrainingContext,
} from "./parameterStore.js";
import type { Binding, Request } from "./protocol.js";
import type { DeviceSetup, TrainingSetup } from "./setup.js";
import type {
  ParameterStore,
  ProgramOptions,
  TrainingEngine,
  TrainingProgram,
} from "./training.js";
import { blobBuffers, placeWeights, sessionSpec, unchanged } from "./weights.js";
import { bindingsOf, unwired, wireInputs, wireShapes } from "./wire.js";

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
  const context = async (): Promise<TrainingContext> => {
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

/** The gradient's name in the session. */
const gradientOf = (name: string): string => `gradient of ${name}`;

interface Owner extends KnownParameter {
  readonly store: KnownStore;
  readonly label: string;
}

async function loadProgram(
  context: TrainingContext,
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
  context: TrainingContext,
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
