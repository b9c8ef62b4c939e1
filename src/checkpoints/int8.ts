import type { Graph } from "../graph/graph.js";
import { INT8_PARAMS } from "../nn/int8.js";
import { readTensor } from "../tensor/convert.js";
import { type Quantized, quantizeRows, quantizeRowsTransposed } from "../tensor/quantize.js";
import { type StoredTensor, type StoredTensors, storedInMemory } from "../tensor/stored.js";
import { sizeOf, tensor } from "../tensor/tensor.js";
import { type ByteSource, checkRange } from "../util/bytes.js";
import { invariant } from "../util/errors.js";

/** Largest magnitudes of what layers give, by channel: path of the layer -> [O]. */
export type OutputRanges = ReadonlyMap<string, Float32Array<ArrayBuffer>>;

/** How weights are rounded. */
export interface Int8Weights {
  /** 127; 63 for processors that saturate where they add two products. */
  readonly limit: 127 | 63;
  /** Of convolutions; those that are missing are estimated from their weights. */
  readonly ranges: OutputRanges;
}

/**
 * The weights that a graph in 8 bits asks for, from those of a checkpoint: rounded when they are read,
 * one layer at a time, so that the checkpoint stays as it is and nothing is held in memory.
 */
export function int8Weights(
  graph: Graph,
  weights: StoredTensors,
  { limit, ranges }: Int8Weights,
): StoredTensors {
  const measured = storedInMemory(
    new Map([...ranges].map(([path, data]) => [path, tensor([data.length], data)])),
  );
  const found = new Map<string, StoredTensor>();
  for (const [name, { shape }] of graph.params) {
    const stored = weights.get(name);
    if (stored) found.set(name, stored);
    const path = name.slice(0, name.lastIndexOf("."));
    const weight = weights.get(`${path}.weight`);
    if (name === `${path}.${INT8_PARAMS.weight}` && weight) {
      const { values, scale } = layer(weight, shape.length === 2, limit);
      found.set(name, values).set(`${path}.${INT8_PARAMS.scale}`, scale);
    }
    const bias = weights.get(`${path}.bias`);
    if (name === `${path}.${INT8_PARAMS.range}` && weight && bias) {
      found.set(name, measured.get(path) ?? estimatedRange(weight, bias));
    }
  }
  return found; // what is missing is named by who loads it
}

/** Values and units of one layer; both come from one reading of its weight. */
function layer(
  weight: StoredTensor,
  transposes: boolean,
  limit: 127 | 63,
): Readonly<Record<keyof Quantized, StoredTensor>> {
  const { shape } = weight;
  const rows = shape[0]!;
  const quantize = async (): Promise<Quantized> => {
    const { data } = await readTensor(weight);
    return (transposes ? quantizeRowsTransposed : quantizeRows)(data, rows, limit);
  };
  const read = eachOnce(quantize);
  const how = `int8 ${limit} ${transposes} ${weight.dtype} ${weight.offset}`;
  const part = (name: keyof Quantized, dtype: "i8" | "f32", dims: readonly number[]) =>
    computedTensor(dtype, dims, [weight], `${name} ${how}`, () => read(name));
  return {
    values: part("values", "i8", transposes ? [sizeOf(shape) / rows, rows] : shape),
    scale: part("scale", "f32", [rows]),
  };
}

/** Both parts of one computation, which is forgotten when both have been read. */
function eachOnce(quantize: () => Promise<Quantized>) {
  let pending: Promise<Quantized> | undefined;
  const unread = new Set<keyof Quantized>();
  return async (part: keyof Quantized): Promise<ArrayBufferView<ArrayBuffer>> => {
    if (!pending || !unread.has(part)) {
      pending = quantize();
      unread.add("values").add("scale");
    }
    const current = pending;
    unread.delete(part);
    if (unread.size === 0) pending = undefined;
    return (await current)[part];
  };
}

/**
 * What to expect of a convolution of which nothing was measured: six standard deviations of sums of
 * independent inputs around 1, and the bias.
 */
function estimatedRange(weight: StoredTensor, bias: StoredTensor): StoredTensor {
  const rows = weight.shape[0]!;
  return computedTensor("f32", [rows], [weight, bias], `range ${weight.offset}`, async () => {
    const [w, b] = [(await readTensor(weight)).data, (await readTensor(bias)).data];
    const width = w.length / rows;
    return Float32Array.from(b, (offset, row) => {
      let squares = 0;
      for (let i = row * width; i < (row + 1) * width; i++) squares += w[i]! ** 2;
      return 6 * Math.sqrt(squares) + Math.abs(offset) || 1;
    });
  });
}

/** A tensor whose bytes are worked out when they are read. */
function computedTensor(
  dtype: "i8" | "f32",
  shape: readonly number[],
  from: readonly StoredTensor[],
  how: string,
  compute: () => Promise<ArrayBufferView<ArrayBuffer>>,
): StoredTensor {
  const length = sizeOf(shape) * (dtype === "i8" ? 1 : 4);
  const sources = from.map(({ source }) => source);
  const name = `${how} of ${sources[0]!.name}`;
  const source: ByteSource = {
    name,
    size: length,
    derived: { from: sources, how },
    async read(offset, count) {
      checkRange(name, length, offset, count);
      const { buffer, byteOffset } = await compute();
      return new Uint8Array(buffer, byteOffset + offset, count);
    },
  };
  return { dtype, shape, source, offset: 0, length };
}
