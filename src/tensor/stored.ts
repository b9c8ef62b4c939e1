import type { ByteSource } from "../util/bytes.js";
import type { DType } from "./dtype.js";

/** A tensor that lies in a file: where its bytes are, and how to read them. Little-endian, row-major. */
export interface StoredTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly source: ByteSource;
  /** Byte offset of the first element in `source`. */
  readonly offset: number;
  /** Bytes: the elements' count times the dtype's size. */
  readonly length: number;
}

/** Named tensors of one or several files, in file order. */
export type StoredTensors = ReadonlyMap<string, StoredTensor>;
