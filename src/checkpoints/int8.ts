import type { Graph } from "../graph/graph.js";
import { INT8_PARAMS } from "../nn/int8.js";
import { readTensor } from "../tensor/convert.js";
import { type Quantized, quantizeRows, quantizeRowsTransposed } from "../tensor/quantize.js";
import { type StoredTensor, type StoredTensors, storedInMemory } from "../tensor/stored.js";
import { sizeOf, type Tensor, tensor } from "../tensor/tensor.js";
import { type ByteSource, checkRange } from "../util/bytes.js";

/** Largest magnitudes of what layers give, by channel: path of the layer -> [O]. */
export type OutputRanges = ReadonlyMap<string, Float32Array<ArrayBuffer>>;

/** How weights are rounded. */
export interface Int8Weights {
  /** 127; 63 for processors that saturate where they add two products. */
  readonly limit: 127 | 63;
  /** Of convolutions. */
  readonly ranges: OutputRanges;
}

/**
 * The weights that a graph in 8 bits asks for, from those of a checkpoint: rounded when they are read,
 * one layer at a time, so that the checkpoint stays as it is and nothing is held in memory. Layers come
 * with all that they could ask for. What neither has is missing here as well, for the loader to name.
 */
export function int8Weights(
  graph: Graph,
  weights: StoredTensors,
  { limit, ranges }: Int8Weights,
): StoredTensors {
  const found = new Map<string, StoredTensor>();
  for (const [name, { shape }] of graph.params) {
    const stored = weights.get(name);
    if (stored) found.set(name, stored);
    const path = name.slice(0, name.lastIndexOf("."));
    const weight = weights.get(`${path}.weight`);
    if (name !== `${path}.${INT8_PARAMS.weight}` || !weight) continue;
    for (const [part, tensor] of layer(weight, shape.length === 2, limit))
      found.set(`${path}.${part}`, tensor);
  }
  const named = [...ranges].map(([path, data]): [string, Tensor] => [
    `${path}.${INT8_PARAMS.range}`,
    tensor([data.length], data),
  ]);
  for (const [name, range] of storedInMemory(new Map(named)))
    if (graph.params.has(name)) found.set(name, range);
  return found;
}

/** What an 8-bit layer asks for of its weight, from one reading. */
function layer(
  weight: StoredTensor,
  transposes: boolean,
  limit: 127 | 63,
): readonly (readonly [string, StoredTensor])[] {
  const { shape } = weight;
  const rows = shape[0]!;
  const quantize = async (): Promise<Quantized> => {
    const { data } = await readTensor(weight);
    return (transposes ? quantizeRowsTransposed : quantizeRows)(data, rows, limit);
  };
  const read = together(quantize);
  const how = `int8 ${limit} ${transposes} ${weight.dtype} ${weight.offset}`;
  const part = (name: keyof Quantized, dtype: "i8" | "f32", dims: readonly number[]) =>
    computedTensor(dtype, dims, weight.source, `${name} ${how}`, () => read(name));
  return [
    [INT8_PARAMS.weight, part("values", "i8", transposes ? [sizeOf(shape) / rows, rows] : shape)],
    [INT8_PARAMS.scale, part("scale", "f32", [rows])],
    [INT8_PARAMS.norm, part("norm", "f32", [rows])],
  ];
}

/** Parts of one computation. The values are large and are let go of once they were read. */
function together(quantize: () => Promise<Quantized>) {
  let whole: Promise<Quantized> | undefined;
  let small: Omit<Quantized, "values"> | undefined;
  return async (part: keyof Quantized): Promise<ArrayBufferView<ArrayBuffer>> => {
    if (part !== "values" && small) return small[part];
    whole ??= quantize();
    const { values, ...rest } = await whole;
    small = rest;
    if (part !== "values") return rest[part];
    whole = undefined;
    return values;
  };
}

/** A tensor whose bytes are worked out when they are read. */
function computedTensor(
  dtype: "i8" | "f32",
  shape: readonly number[],
  from: ByteSource,
  how: string,
  compute: () => Promise<ArrayBufferView<ArrayBuffer>>,
): StoredTensor {
  const length = sizeOf(shape) * (dtype === "i8" ? 1 : 4);
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
