import type { EmaSpec, OptimizerSpec } from "../optim/spec.js";
import type { Parts, Recipe } from "../tensor/recipe.js";
import type { StoredTensor } from "../tensor/stored.js";

/*
 * Messages between the host and the worker that owns the engine's sessions. `run` blocks the thread
 * that calls it, so sessions live in a worker, and everything that crosses is plain data.
 */

/** A tensor that crosses between threads. */
export type WireTensor =
  | { readonly type: "float32"; readonly shape: readonly number[]; readonly data: Float32Array }
  | { readonly type: "int32"; readonly shape: readonly number[]; readonly data: Int32Array }
  | { readonly type: "int64"; readonly shape: readonly number[]; readonly data: BigInt64Array };

export type WireTensors = Readonly<Record<string, WireTensor>>;

/** A result that stayed with the worker, by its number there. */
export interface WireResident {
  readonly type: "resident";
  readonly shape: readonly number[];
  readonly resident: number;
}

/** What a run is fed. */
export type WireFeeds = Readonly<Record<string, WireTensor | WireResident>>;

/** Bytes of weights that lie in no file an engine could map. */
export interface WeightBlob {
  readonly path: string;
  readonly data: Uint8Array<ArrayBuffer>;
}

/** What a session is made of and how it runs. */
export interface SessionSpec {
  /** The model's bytes, or the path of a file that holds them. */
  readonly model: Uint8Array<ArrayBuffer> | string;
  readonly blobs: readonly WeightBlob[];
  /** Name of ONNX Runtime's execution provider. */
  readonly provider: string;
  readonly threads: number | undefined;
  readonly optimization: "disabled" | "basic" | "extended" | "all";
  /** Session configuration entries, "session.xyz" -> value. */
  readonly config: Readonly<Record<string, string>>;
  /** Whether the engine holds on to memory that it has used; by default it does. */
  readonly arena?: boolean;
  /** Whether its results stay on the device; by default they come to the host. */
  readonly resident?: boolean;
  /** Writes the optimised graph here while loading. */
  readonly saveTo: string | undefined;
  /** Write a profile when the session is released. */
  readonly profile: string | undefined;
}

/** One parameter as the worker keeps it. */
export interface HostedParameter {
  readonly name: string;
  /** The shape that it is fed in. */
  readonly shape: readonly number[];
  readonly rate: number;
  readonly decay: boolean;
}

/** What a store of parameters is made of. */
export interface StoreSpec {
  readonly parameters: readonly HostedParameter[];
  readonly optimizer: OptimizerSpec;
  readonly clip: number | undefined;
  readonly ema: EmaSpec | undefined;
}

/** An input or output of a session that belongs to a parameter of a store. */
export interface Binding {
  /** Its name in the session. */
  readonly at: string;
  readonly store: number;
  readonly parameter: string;
}

/** What a session is fed from stores, and what it gives them. */
export interface StoreBindings {
  readonly weights: readonly Binding[];
  readonly gradients: readonly Binding[];
  /** Outputs that go back to the host. */
  readonly outputs: readonly string[];
  /** Whether runs write their outputs into arrays that are handed over. */
  readonly fillsOutputs: boolean;
}

/** One part of a store's parameters, by name, in the layout that they are fed in. */
export type PartValues = Readonly<Record<string, Float32Array<ArrayBuffer>>>;

/** Weights that are made of one that lies in a file, and where they belong. */
export interface MakeJob {
  readonly of: Omit<StoredTensor, "source" | "made"> & { readonly path: string };
  readonly recipe: Recipe;
  /** A file that is there. */
  readonly into: string;
  /** Where each of them begins; those that nobody asked for are left out. */
  readonly at: readonly (number | undefined)[];
}

export type Request =
  | { readonly kind: "load"; readonly spec: SessionSpec; readonly stores?: StoreBindings }
  | { readonly kind: "run"; readonly session: number; readonly feeds: WireFeeds }
  /** Frees results that stayed. */
  | { readonly kind: "forget"; readonly residents: readonly number[] }
  | { readonly kind: "release"; readonly session: number }
  | { readonly kind: "make"; readonly job: MakeJob }
  | { readonly kind: "createStore"; readonly spec: StoreSpec }
  | {
      readonly kind: "writeStore";
      readonly store: number;
      readonly part: string;
      readonly values: PartValues;
    }
  /** Sets what optimizer and average keep to what it is before the first step. */
  | { readonly kind: "startStore"; readonly store: number }
  | { readonly kind: "readStore"; readonly store: number; readonly part: string }
  | {
      readonly kind: "updateStore";
      readonly store: number;
      readonly step: number;
      readonly learningRate: number;
    }
  | { readonly kind: "releaseStore"; readonly store: number };

type Nothing = Readonly<Record<never, never>>;

export interface Replies {
  load: { readonly session: number };
  run: {
    readonly outputs: WireTensors;
    /** Results that stayed, by their names. */
    readonly residents: Readonly<Record<string, WireResident>>;
  };
  forget: Nothing;
  release: Nothing;
  /** All but the first, which is large. */
  make: { readonly small: Parts };
  createStore: { readonly store: number; readonly parts: readonly string[] };
  writeStore: Nothing;
  startStore: Nothing;
  readStore: { readonly values: PartValues };
  updateStore: { readonly gradientNorm: number };
  releaseStore: Nothing;
}

/** A request of one kind. */
export type RequestOf<K extends Request["kind"]> = Extract<Request, { readonly kind: K }>;

/** Who answers requests: one row a kind. `id` is the request's own and may name what it makes. */
export type Handlers = {
  readonly [K in Request["kind"]]: (
    request: RequestOf<K>,
    id: number,
  ) => Replies[K] | Promise<Replies[K]>;
};

export interface RequestMessage {
  readonly id: number;
  readonly request: Request;
}

export type ReplyMessage =
  | { readonly id: number; readonly ok: true; readonly value: Replies[Request["kind"]] }
  | { readonly id: number; readonly ok: false; readonly message: string };
