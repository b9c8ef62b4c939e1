import type * as Ort from "onnxruntime-common";
import {
  firstStep,
  type Kernels,
  type Parameter,
  PLAIN_KERNELS,
  takeMemory,
  updateChain,
} from "../optim/index.js";
import { sizeOf } from "../tensor/tensor.js";
import { invariant } from "../util/errors.js";
import type { OrtModule } from "./ort.js";
import type {
  Binding,
  Handlers,
  HostedParameter,
  PartValues,
  Replies,
  StoreSpec,
} from "./protocol.js";

/*
 * The worker's side of a store: parameters, gradients, averages and optimizer state in WebAssembly
 * memory, which the engine reads and writes as it is.
 */

type Floats = Float32Array<ArrayBuffer>;

/** One parameter in the worker. */
export interface Hosted {
  /** What the engine reads. */
  readonly weight: Ort.Tensor;
  /** Where the next gradient belongs: the sum itself while that is empty, later a place beside it. */
  gradientTarget(): Ort.Tensor;
  /** Counts the gradient that now lies in the target. */
  gathered(): void;
}

/** A store in the worker. */
interface HostedStore {
  readonly parts: readonly string[];
  parameter(name: string): Hosted;
  write(part: string, values: PartValues): void;
  start(): void;
  read(part: string): PartValues;
  update(step: number, learningRate: number): Replies["updateStore"];
}

/** A parameter, and a place for gradients that are added to those before. */
interface Entry extends Parameter {
  gathered: number;
  readonly value: Floats;
  readonly gradient: Floats;
  readonly addend: Floats;
  readonly state: Readonly<Record<string, Floats>>;
}

type StoreRequests = Extract<keyof Handlers, `${string}Store`>;

/** Answers what is asked of stores, and finds their parameters. */
export function storeHandlers(
  ort: OrtModule,
  collectGarbage: () => void,
): {
  readonly handlers: Pick<Handlers, StoreRequests>;
  readonly parameter: (binding: Binding) => Hosted;
} {
  const stores = new Map<number, HostedStore>();
  const find = (id: number): HostedStore => {
    const found = stores.get(id);
    invariant(found !== undefined, `no store ${id}`);
    return found;
  };
  const handlers: Pick<Handlers, StoreRequests> = {
    createStore({ spec }, id) {
      const created = hostStore(ort, spec);
      stores.set(id, created);
      return { store: id, parts: created.parts };
    },
    writeStore({ store, part, values }) {
      find(store).write(part, values);
      return {};
    },
    startStore({ store }) {
      find(store).start();
      return {};
    },
    readStore: ({ store, part }) => ({ values: find(store).read(part) }),
    updateStore: ({ store, step, learningRate }) => find(store).update(step, learningRate),
    releaseStore({ store }) {
      stores.delete(store);
      collectGarbage();
      return {};
    },
  };
  return { handlers, parameter: (binding) => find(binding.store).parameter(binding.parameter) };
}

/** Takes the memory of a store, all of it at once. */
function hostStore(ort: OrtModule, spec: StoreSpec): HostedStore {
  const { parts } = updateChain(spec, PLAIN_KERNELS);
  const { groups, kernels } = takeMemory(
    spec.parameters.map(({ shape }) =>
      Array.from({ length: 3 + parts.length }, () => sizeOf(shape)),
    ),
  );
  const { init, update } = updateChain(spec, kernels);
  const entries = spec.parameters.map((p, i) => entryOf(p, groups[i]!, parts));
  const byName = new Map(entries.map((e) => [e.name, e]));
  const hosted = new Map(
    entries.map((e, i) => [e.name, hostedParameter(ort, e, spec.parameters[i]!.shape, kernels)]),
  );
  const arrayOf = ({ name, value, state }: Entry, part: string): Floats => {
    const array = part === "params" ? value : state[part];
    invariant(array !== undefined, `${name} has no part "${part}"`);
    return array;
  };
  const find = <T>(map: ReadonlyMap<string, T>, name: string): T => {
    const found = map.get(name);
    invariant(found !== undefined, `no parameter "${name}"`);
    return found;
  };
  return {
    parts: ["params", ...parts],
    parameter: (name) => find(hosted, name),
    write(part, values) {
      for (const [name, data] of Object.entries(values)) {
        arrayOf(find(byName, name), part).set(data);
      }
    },
    start() {
      for (const e of entries) init(e);
    },
    read: (part) => Object.fromEntries(entries.map((e) => [e.name, arrayOf(e, part).slice()])),
    update(step, learningRate) {
      invariant(
        entries.some((e) => e.gathered > 0),
        "no gradient was gathered since the last update",
      );
      const { gradientNorm } = update(entries, firstStep(step, learningRate));
      for (const e of entries) e.gathered = 0;
      return { gradientNorm };
    },
  };
}

function entryOf(
  { name, rate, decay }: HostedParameter,
  [value, gradient, addend, ...kept]: readonly Floats[],
  parts: readonly string[],
): Entry {
  const state = Object.fromEntries(parts.map((part, i) => [part, kept[i]!]));
  return {
    name,
    rate,
    decay,
    gathered: 0,
    value: value!,
    gradient: gradient!,
    addend: addend!,
    state,
  };
}

function hostedParameter(
  ort: OrtModule,
  entry: Entry,
  shape: readonly number[],
  kernels: Kernels,
): Hosted {
  const over = (data: Floats): Ort.Tensor => new ort.Tensor("float32", data, shape);
  const [weight, sum, addend] = [over(entry.value), over(entry.gradient), over(entry.addend)];
  return {
    weight,
    gradientTarget: () => (entry.gathered === 0 ? sum : addend),
    gathered() {
      if (entry.gathered > 0) kernels.add(entry.gradient, entry.addend);
      entry.gathered++;
    },
  };
}
