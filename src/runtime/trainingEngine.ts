import { type Graph, graphOf } from "../graph/graph.js";
import type { Value } from "../graph/value.js";
import type { ShapeFeed } from "../onnx/builder.js";
import { lower } from "../onnx/lower.js";
import { encodeModel } from "../onnx/model.js";
import type { StoredTensor, StoredTensors } from "../tensor/stored.js";
import { check, invariant } from "../util/errors.js";
import { type Client, loadSession } from "./client.js";
import { explained } from "./explain.js";
import {
  checkShape,
  createStore,
  type KnownParameter,
  type KnownStore,
  type TrainingContext,
} from "./parameterStore.js";
import type { Binding, SessionSpec, StoreBindings } from "./protocol.js";
import type { DeviceSetup, TrainingSetup } from "./setup.js";
import type {
  ParameterStore,
  ProgramOptions,
  TrainingEngine,
  TrainingProgram,
} from "./training.js";
import { placeWeights, sessionSpec, unchanged } from "./weights.js";
import { bindingsOf, unwired, wireInputs, wireShapes } from "./wire.js";

/**
 * An optimizer that training does without: what is computed twice there was to be forgotten in
 * between.
 */
const KEPT_APART = "CommonSubexpressionElimination";

/** The engine takes outputs in the order of the identities that end in them. */
const ORDERED = "EliminateIdentity";

function settings(leastMemory: boolean): Pick<SessionSpec, "config" | "arena"> {
  const disabled = leastMemory ? [KEPT_APART, ORDERED] : [KEPT_APART];
  const config = { "optimization.disable_specified_optimizers": disabled.join(";") };
  return { config, arena: !leastMemory };
}

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
  readonly given: ParameterStore;
  readonly store: KnownStore;
}

async function loadProgram(
  context: TrainingContext,
  outputs: Readonly<Record<string, Value>>,
  { label, stores, gradients = new Map(), frozen = new Map(), leastMemory = false }: ProgramOptions,
): Promise<TrainingProgram> {
  const { client, setup, training } = context;
  const owners = ownersOf(context, label, stores);
  const graph = graphOf({
    ...outputs,
    ...Object.fromEntries([...gradients].map(([name, v]) => [gradientOf(name), v])),
  });
  const used = checkWeights(label, graph, owners, frozen);
  checkGradients(label, gradients, owners);
  const { place, blobs } = placeWeights(label, frozen, {
    mapsFiles: setup.mapsFiles,
    compute: "f32",
  });
  const { onnx, shapeFeeds } = lower(graph, {
    rules: training.rules,
    compute: "f32",
    weight: (name) => {
      const owner = owners.get(name);
      return owner ? { fed: true, shape: owner.layout?.feedShape ?? owner.shape } : place(name);
    },
    isGradient: (output) => !Object.hasOwn(outputs, output),
  });
  const spec = sessionSpec(setup, encodeModel(onnx), await blobs(), settings(leastMemory));
  const bound = [...graph.params.keys()].filter((name) => owners.has(name));
  const bindings: StoreBindings = {
    weights: bound.map((name) => bindingOf(owners, name, name)),
    gradients: [...gradients.keys()].map((name) => bindingOf(owners, name, gradientOf(name))),
    outputs: Object.keys(outputs),
    fillsOutputs: training.fillsOutputs,
  };
  const { session } = await explained(
    label,
    setup.name,
    () => unchanged(used, () => loadSession(client, spec, bindings)),
    SMALLER,
  );
  const needed = new Set([...bound, ...gradients.keys()].map((name) => owners.get(name)!.given));
  return programOver(context, { label, graph, shapeFeeds, session, stores: [...needed] });
}

/** What an input or output of the session has to do with a store. */
function bindingOf(owners: ReadonlyMap<string, Owner>, parameter: string, at: string): Binding {
  return { at, store: owners.get(parameter)!.store.id, parameter };
}

interface LoadedProgram {
  readonly label: string;
  readonly graph: Graph;
  readonly shapeFeeds: readonly ShapeFeed[];
  readonly session: number;
  /** Those that it reads or that gather its gradients. */
  readonly stores: readonly ParameterStore[];
}

/** A program's methods. */
function programOver(
  { client, setup, stores: open }: TrainingContext,
  { label, graph, shapeFeeds, session, stores }: LoadedProgram,
): TrainingProgram {
  return {
    async run(inputs) {
      for (const store of stores) {
        invariant(open.has(store), `${label}: its store "${store.label}" is disposed`);
      }
      const feeds = {
        ...wireInputs(graph, label, inputs),
        ...wireShapes(shapeFeeds, bindingsOf(graph, label, inputs)),
      };
      const ask = () => client.request({ kind: "run", session, feeds });
      return unwired(label, (await explained(label, setup.name, ask, SMALLER)).outputs);
    },
    [Symbol.asyncDispose]: async () => {
      // Once the worker is gone, its memory is too.
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
        `${label}: the parameter "${name}" is in two stores, "${other?.given.label}" and "${given.label}". Leave one out.`,
      );
      owners.set(name, { ...known, store, given });
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
    const where = owner ? `the store "${owner.given.label}"` : "the frozen weights";
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
