import { sizeOf, type Tensor, tensor } from "../src/tensor/tensor.js";

/*
 * Weights and inputs of the fixtures at published shapes: gigabytes that follow from names, bit for
 * bit as scripts/golden/components.py derives them (`derive`, `uniform`, `noise`).
 */

/** FNV-1a, 32 bits, of a text in UTF-8. */
function fnv1a(text: string): number {
  let h = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) h = Math.imul(h ^ byte, 0x01000193);
  return h >>> 0;
}

/** n numbers in [-1, 1), multiples of 2^-23, from a name. */
export function uniform(name: string, n: number): Float32Array<ArrayBuffer> {
  const seed = fnv1a(name);
  const out = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    let x = i ^ seed;
    x ^= x >>> 16;
    x = Math.imul(x, 0x7feb352d);
    x ^= x >>> 15;
    x = Math.imul(x, 0x846ca68b);
    x ^= x >>> 16;
    out[i] = (x >>> 8) * 2 ** -23 - 1;
  }
  return out;
}

/** The parameter `key` of `model`: biases small, norms near 1, matrices of unit gain. */
export function derivedWeight(model: string, key: string, shape: readonly number[]): Tensor {
  const data = uniform(`${model}/${key}`, sizeOf(shape));
  const [scale, shift] = key.endsWith("bias")
    ? [0.05, 0]
    : shape.length === 1
      ? [0.1, 1]
      : key.includes("embedding.weight")
        ? [1, 0]
        : [Math.sqrt(3 / sizeOf(shape.slice(1))), 0];
  const factor = Math.fround(scale);
  for (let i = 0; i < data.length; i++) data[i] = Math.fround(data[i]! * factor) + shift;
  return tensor(shape, data);
}

/** An input of unit variance. */
export function derivedNoise(name: string, shape: readonly number[]): Tensor {
  const factor = Math.fround(Math.sqrt(3));
  return tensor(
    shape,
    uniform(`input/${name}`, sizeOf(shape)).map((u) => u * factor),
  );
}
