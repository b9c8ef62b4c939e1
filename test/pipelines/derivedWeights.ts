import { readFileSync } from "node:fs";
import { writeSafetensors } from "../../src/formats/index.js";
import { sizeOf } from "../../src/tensor/tensor.js";
import { type ByteSource, memorySource } from "../../src/util/bytes.js";

/*
 * Weights that follow from their names, as scripts/golden/README.md says: too large to store, and
 * the same to the last bit as what the reference was given.
 */

const { fround } = Math;

/** FNV-1a of the name's UTF-8 bytes. */
function keyOf(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

function mixed(x: number): number {
  const a = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  const b = Math.imul(a ^ (a >>> 15), 0x846ca68b);
  return (b ^ (b >>> 16)) >>> 0;
}

/** The weight `key` of a model, float32. */
export function derivedWeight(
  model: string,
  key: string,
  shape: readonly number[],
): Float32Array<ArrayBuffer> {
  const hash = keyOf(`${model}/${key}`);
  const u = (i: number): number => (mixed(i ^ hash) >>> 8) * 2 ** -23 - 1;
  const scale = fround(Math.sqrt(3 / shape.slice(1).reduce((n, d) => n * d, 1)));
  const rule = key.endsWith("bias")
    ? (x: number) => fround(x * fround(0.05))
    : shape.length === 1
      ? (x: number) => fround(fround(x * fround(0.1)) + 1)
      : key.includes("embedding.weight")
        ? (x: number) => x
        : (x: number) => fround(x * scale);
  return Float32Array.from({ length: sizeOf(shape) }, (_, i) => rule(u(i)));
}

/** A safetensors file in memory whose keys and shapes are listed in `listing` (JSON). */
export async function derivedFile(model: string, listing: string): Promise<ByteSource> {
  const shapes = JSON.parse(readFileSync(listing, "utf8")) as Record<string, readonly number[]>;
  const tensors = Object.entries(shapes).map(([key, shape]) => {
    const bytes = new Uint8Array(derivedWeight(model, key, shape).buffer);
    return [key, { dtype: "f32", shape, bytes }] as const;
  });
  const chunks: Uint8Array[] = [];
  const write = (bytes: Uint8Array): Promise<void> =>
    Promise.resolve(void chunks.push(bytes.slice()));
  await writeSafetensors(new Map(tensors), {}, { write });
  return memorySource(`${model}.safetensors`, new Uint8Array(Buffer.concat(chunks)));
}
