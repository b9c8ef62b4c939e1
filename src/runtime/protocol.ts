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
  readonly optimization: "disabled" | "basic" | "all";
  /** Session configuration entries, "session.xyz" -> value. */
  readonly config: Readonly<Record<string, string>>;
  /** Writes the optimised graph here while loading. */
  readonly saveTo: string | undefined;
  /** Write a profile when the session is released. */
  readonly profile: string | undefined;
}

export type Request =
  | { readonly kind: "load"; readonly spec: SessionSpec }
  | { readonly kind: "run"; readonly session: number; readonly feeds: WireTensors }
  | { readonly kind: "release"; readonly session: number };

export interface Replies {
  load: { readonly session: number };
  run: { readonly outputs: WireTensors };
  release: Readonly<Record<never, never>>;
}

export interface RequestMessage {
  readonly id: number;
  readonly request: Request;
}

export type ReplyMessage =
  | { readonly id: number; readonly ok: true; readonly value: Replies[Request["kind"]] }
  | { readonly id: number; readonly ok: false; readonly message: string };
