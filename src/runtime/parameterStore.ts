import { type Dim, showShape } from "../graph/dim.js";
import type { WeightLayout } from "../tensor/blocks.js";
import { sizeOf, type Tensor, tensor } from "../tensor/tensor.js";
import { check, invariant } from "../util/errors.js";
import type { Client } from "./client.js";
import { explained } from "./explain.js";
import type { PartValues, Replies, Request } from "./protocol.js";
import type { DeviceSetup, TrainingSetup } from "./setup.js";
import type { ParameterSpec, ParameterStore, StoreOptions } from "./training.js";

/** A parameter of a store, as the host knows it. */
export interface KnownParameter {
  readonly shape: readonly number[];
  /** How it lies in the worker; undefined is row-major. */
  readonly layout: WeightLayout | undefined;
}

/** A store, as the host knows it. */
export interface KnownStore {
  readonly id: number;
  readonly parameters: ReadonlyMap<string, KnownParameter>;
}

/** What the programs of one engine share. */
export interface TrainingContext {
  readonly client: Client;
  readonly setup: DeviceSetup;
  readonly training: TrainingSetup;
  /** Stores that are not disposed. */
  readonly stores: Map<ParameterStore, KnownStore>;
}

type Values = Iterable<readonly [name: string, data: Float32Array]>;
type Ask = <R extends Request>(
  request: R,
  transfer?: readonly ArrayBuffer[],
) => Promise<Replies[R["kind"]]>;

/** Takes parameters into the worker's memory. Throws "mismatch" for those that are no parameters. */
export async function createStore(
  { client, setup, training, stores }: TrainingContext,
  specs: readonly ParameterSpec[],
  { label, optimizer, clip, ema }: StoreOptions,
): Promise<ParameterStore> {
  const parameters = knownParameters(label, specs, training);
  const ask: Ask = (request, transfer) =>
    explained(
      label,
      setup.name,
      () => client.request(request, transfer),
      "Train fewer parameters, or close other programs.",
    );
  const hosted = specs.map(({ name, shape, rate = 1, decay = shape.length > 1 }) => {
    const feedShape = parameters.get(name)!.layout?.feedShape ?? shape;
    return { name, shape: feedShape, rate, decay };
  });
  const spec = { parameters: hosted, optimizer, clip, ema };
  const { store: id, parts } = await ask({ kind: "createStore", spec });
  const known = { id, parameters };
  // Once the worker is gone, its memory is too.
  const release = () => client.request({ kind: "releaseStore", store: id }).catch(() => {});
  try {
    const start = specs.map(({ name, data }) => [name, data] as const);
    await writeBatches(ask, known, "params", start);
    await ask({ kind: "startStore", store: id });
  } catch (error) {
    await release();
    throw error;
  }
  const store: ParameterStore = {
    ...storeOver(ask, known, { label, parts, isOpen: () => stores.has(store) }),
    async [Symbol.asyncDispose]() {
      if (stores.delete(store)) await release();
    },
  };
  stores.set(store, known);
  return store;
}

function knownParameters(
  label: string,
  specs: readonly ParameterSpec[],
  { layoutOf }: TrainingSetup,
): ReadonlyMap<string, KnownParameter> {
  const parameters = new Map<string, KnownParameter>();
  for (const { name, shape, data } of specs) {
    check(!parameters.has(name), "mismatch", `${label}: two parameters are named "${name}".`);
    check(
      data.length === sizeOf(shape),
      "mismatch",
      `${label}: the parameter "${name}" has the shape [${shape}], but ${data.length} numbers.`,
    );
    parameters.set(name, { shape, layout: layoutOf?.(shape) });
  }
  return parameters;
}

interface StoreState {
  readonly label: string;
  readonly parts: readonly string[];
  isOpen(): boolean;
}

/** A store's methods. */
function storeOver(
  ask: Ask,
  known: KnownStore,
  { label, parts, isOpen }: StoreState,
): Omit<ParameterStore, typeof Symbol.asyncDispose> {
  const { id, parameters } = known;
  const checkOpen = (): void => invariant(isOpen(), `${label}: the store is disposed`);
  const checkPart = (part: string): void => {
    checkOpen();
    const known = parts.join(", ");
    check(parts.includes(part), "mismatch", `${label}: it has no part "${part}". It has ${known}.`);
  };
  return {
    label,
    names: [...parameters.keys()],
    parts,
    async read(part) {
      checkPart(part);
      const { values } = await ask({ kind: "readStore", store: id, part });
      return new Map(
        [...parameters].map(([name, { shape, layout }]): [string, Tensor] => {
          const data = values[name]!;
          return [name, tensor(shape, layout ? layout.unpack(data) : data)];
        }),
      );
    },
    async write(part, values) {
      checkPart(part);
      for (const [name, { shape }] of values) {
        const expected = parameters.get(name)?.shape;
        check(expected, "mismatch", `${label}: it has no parameter "${name}" to write.`);
        checkShape(`${label}: part "${part}" of "${name}"`, expected, shape);
      }
      const arrays = Array.from(values, ([name, { data }]) => [name, data] as const);
      await writeBatches(ask, known, part, arrays);
    },
    async update({ step, learningRate }) {
      checkOpen();
      invariant(
        Number.isInteger(step) && step >= 0 && Number.isFinite(learningRate),
        `${label}: update takes a step from 0 on and a finite rate, got ${step} and ${learningRate}`,
      );
      return await ask({ kind: "updateStore", store: id, step, learningRate });
    },
  };
}

/** Numbers that are copied on their way to the worker at a time. */
const BATCH = 2 ** 24;

/** Writes one part of parameters, in copies and in the worker's layout, some at a time. */
async function writeBatches(
  ask: Ask,
  { id, parameters }: KnownStore,
  part: string,
  values: Values,
): Promise<void> {
  let batch: Record<string, PartValues[string]> = {};
  let size = 0;
  const send = async (): Promise<void> => {
    const buffers = Object.values(batch).map((data) => data.buffer);
    await ask({ kind: "writeStore", store: id, part, values: batch }, buffers);
    [batch, size] = [{}, 0];
  };
  for (const [name, data] of values) {
    if (size > 0 && size + data.length > BATCH) await send();
    batch[name] = parameters.get(name)!.layout?.pack(data) ?? new Float32Array(data);
    size += data.length;
  }
  await send();
}

/** Throws "mismatch" unless a shape is what it should be. */
export function checkShape(what: string, expected: readonly number[], got: readonly Dim[]): void {
  const fits = expected.length === got.length && expected.every((d, i) => d === got[i]);
  check(fits, "mismatch", `${what}: expected the shape [${expected}], got ${showShape(got)}.`);
}
