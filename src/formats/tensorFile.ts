import type { StoredTensors } from "../tensor/stored.js";

/** What a weights file holds: where each tensor's bytes lie, and what the file says of itself. */
export interface TensorFile {
  readonly tensors: StoredTensors;
  /** safetensors `__metadata__`; of a checkpoint its scalars, such as `global_step`, as text. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Where a writer puts its bytes, one piece after the other. */
export interface Sink {
  write(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
}
