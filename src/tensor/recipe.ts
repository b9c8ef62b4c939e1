import type { DType } from "./dtype.js";

/*
 * What is made of tensors as files have them: plain data, so that any thread can follow it.
 */

/** How a matrix [rows, width] is rounded to 8 bits. */
export interface Rounding {
  /** Of its numbers, little-endian. */
  readonly dtype: DType;
  readonly rows: number;
  readonly width: number;
  /** 127; 63 for processors whose sums of two products saturate. */
  readonly limit: 127 | 63;
  /** Whether the values are wanted as [width, rows]. */
  readonly transposed: boolean;
}

/** How numbers become float32. */
export interface Widening {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Channels that lie together in a weight [O,I,kh,kw]; row-major where it is undefined. */
  readonly block: number | undefined;
}

/** Makes tensors of one: the weight that was asked for, and after it small ones that come of the same work. */
export type Recipe =
  | ({ readonly kind: "round" } & Rounding)
  | ({ readonly kind: "widen" } & Widening);

/** What a recipe makes. */
export type Parts = readonly ArrayBufferView<ArrayBuffer>[];
