import { invariant } from "../util/errors.js";

/** A dense float32 array on the host, row-major. Treat `data` as read-only once it is shared. */
export interface Tensor {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
}

/** Number of elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((n, d) => n * d, 1);
}

/** A tensor over `data`, whose length must fit `shape`. */
export function tensor(shape: readonly number[], data: Float32Array<ArrayBuffer>): Tensor {
  invariant(
    sizeOf(shape) === data.length,
    `tensor: shape [${shape}] wants ${sizeOf(shape)} elements, got ${data.length}`,
  );
  return { shape: [...shape], data };
}

export function zeros(shape: readonly number[]): Tensor {
  return tensor(shape, new Float32Array(sizeOf(shape)));
}

export function full(shape: readonly number[], value: number): Tensor {
  return tensor(shape, new Float32Array(sizeOf(shape)).fill(value));
}
