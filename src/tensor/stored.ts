import { type ByteSource, checkRange, memorySource } from "../util/bytes.js";
import { DTYPE_BYTES, type DType } from "./dtype.js";
import type { Parts, Recipe } from "./recipe.js";
import { sizeOf, type Tensor } from "./tensor.js";

/** A tensor that lies in a file: where its bytes are, and how to read them. Little-endian, row-major. */
export interface StoredTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly source: ByteSource;
  /** Byte offset of the first element in `source`. */
  readonly offset: number;
  /** Bytes: the elements' count times the dtype's size. */
  readonly length: number;
  /** How it is worked out of another one, where it is. */
  readonly made?: Made;
}

/** One of the tensors that a recipe makes of a stored one. */
export interface Made {
  readonly of: StoredTensor;
  readonly recipe: Recipe;
  /** Which of them; the first is the large one. */
  readonly part: number;
  /** Takes all but the first from whoever has followed the recipe. */
  tell(small: Parts): void;
}

/** Named tensors of one or several files, in file order. */
export type StoredTensors = ReadonlyMap<string, StoredTensor>;

/** A tensor whose bytes are worked out each time that they are read: `how` and `from` say all of it. */
export function derivedTensor(
  dtype: DType,
  shape: readonly number[],
  from: ByteSource,
  how: string,
  compute: () => Promise<ArrayBufferView<ArrayBuffer>>,
): StoredTensor {
  const length = sizeOf(shape) * DTYPE_BYTES[dtype];
  const name = `${how} of ${from.name}`;
  const source: ByteSource = {
    name,
    size: length,
    derived: { from: [from], how },
    async read(offset, count) {
      checkRange(name, length, offset, count);
      const { buffer, byteOffset } = await compute();
      return new Uint8Array(buffer, byteOffset + offset, count);
    },
  };
  return { dtype, shape, source, offset: 0, length };
}

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
