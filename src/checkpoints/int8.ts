import type { Graph } from "../graph/graph.js";
import { INT8_PARAMS, type LayerPart, partName, roundedWeight } from "../nn/int8.js";
import { readTensor } from "../tensor/convert.js";
import { type MadePart, type Make, madeTensors, makers } from "../tensor/made.js";
import type { Rounding } from "../tensor/recipe.js";
import { type StoredTensor, type StoredTensors, storedInMemory } from "../tensor/stored.js";
import { sizeOf, type Tensor, tensor } from "../tensor/tensor.js";
import { TintypeError } from "../util/errors.js";

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
 * Reading throws "bad-file" for a weight that is not finite.
 */
export function int8Weights(
  graph: Graph,
  weights: StoredTensors,
  { limit, ranges }: Int8Weights,
): StoredTensors {
  const found = new Map<string, StoredTensor>();
  const make = makers();
  for (const [name, { shape }] of graph.params) {
    const stored = weights.get(name);
    if (stored) found.set(name, stored);
    const rounded = roundedWeight(name);
    const weight = weights.get(`${rounded?.path}.weight`);
    if (!rounded || !weight) continue;
    const { path, part } = rounded;
    const rows = rowsOf(weight, part);
    const transposed = shape.length === 2;
    const whole = { name: `${path}.weight`, weight: rows, transposed, limit, make };
    for (const [own, tensor] of layer(whole)) found.set(`${path}.${partName(own, part)}`, tensor);
  }
  const named = [...ranges].map(([path, data]): [string, Tensor] => [
    `${path}.${INT8_PARAMS.range}`,
    tensor([data.length], data),
  ]);
  for (const [name, range] of storedInMemory(new Map(named)))
    if (graph.params.has(name)) found.set(name, range);
  return found;
}

/** One of `count` equal parts of a weight's rows, where it stands in the file. */
function rowsOf(weight: StoredTensor, { index, count }: LayerPart): StoredTensor {
  const [rows, ...row] = weight.shape;
  const length = weight.length / count;
  return {
    ...weight,
    shape: [rows! / count, ...row],
    offset: weight.offset + index * length,
    length,
  };
}

/** A weight that is to be rounded, and who does it. */
interface Whole extends Pick<Rounding, "limit" | "transposed"> {
  readonly name: string;
  readonly weight: StoredTensor;
  readonly make: Make;
}

/** What an 8-bit layer asks for of its weight, from one reading. */
function layer(whole: Whole): readonly (readonly [string, StoredTensor])[] {
  const { name, weight, transposed, limit, make } = whole;
  const { dtype, shape, source } = weight;
  const rows = shape[0]!;
  const width = sizeOf(shape) / rows;
  const names = [INT8_PARAMS.weight, INT8_PARAMS.scale, INT8_PARAMS.norm];
  const parts = names.map((name, part): MadePart => {
    if (part > 0) return { name, dtype: "f32", shape: [rows] };
    return { name, dtype: "i8", shape: transposed ? [width, rows] : shape };
  });
  const recipe = { kind: "round", dtype, rows, width, limit, transposed } as const;
  const refuse = () => notFinite(name, source.name);
  return madeTensors(weight, recipe, parts, { make, refuse }).map((made, part) => [
    names[part]!,
    made,
  ]);
}

const notFinite = (name: string, file: string): TintypeError =>
  new TintypeError(
    "bad-file",
    `int8: ${name} of ${file} holds numbers that are not finite, so that none fit 8 bits. The file is ` +
      "probably damaged: download it again, or look at a picture that is drawn with --dtype fp32.",
  );

/**
 * Throws "bad-file", naming the tensor, where weights that are read as they are hold numbers that are not
 * finite: beside layers in 8 bits such numbers get lost.
 */
export async function requireFinite(weights: StoredTensors): Promise<void> {
  for (const [name, stored] of weights) {
    if (stored.source.derived) continue;
    const { data } = await readTensor(stored);
    // 0 times what is not finite is no number.
    if (data.reduce((sum, x) => sum + 0 * x, 0) !== 0) throw notFinite(name, stored.source.name);
  }
}
