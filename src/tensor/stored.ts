import { type ByteSource, memorySource } from "../util/bytes.js";
import type { DType } from "./dtype.js";
import type { Tensor } from "./tensor.js";

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

/** Tensors in memory as stored ones, without a copy: what takes weights of files takes them too. */
export function storedInMemory(tensors: ReadonlyMap<string, Tensor>): StoredTensors {
  return new Map(
    [...tensors].map(([name, { shape, data }]): [string, StoredTensor] => {
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      const source = memorySource(name, bytes);
      return [name, { dtype: "f32", shape, source, offset: 0, length: bytes.length }];
    }),
  );
}
