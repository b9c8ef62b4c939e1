import type { Graph } from "../graph/graph.js";
import { INT8_PARAMS, type LayerPart, partName, roundedWeight } from "../nn/int8.js";
import { readTensor } from "../tensor/convert.js";
import { type Quantized, type Rounder, type Rounding, rounders } from "../tensor/quantize.js";
import {
  derivedTensor,
  type StoredTensor,
  type StoredTensors,
  storedInMemory,
} from "../tensor/stored.js";
import { sizeOf, type Tensor, tensor } from "../tensor/tensor.js";
import { TintypeError } from "../util/errors.js";
import { type AtPlace, type Room, room, workplaces } from "../util/workplaces.js";

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
  const rounding = workplaces(workplace);
  for (const [name, { shape }] of graph.params) {
    const stored = weights.get(name);
    if (stored) found.set(name, stored);
    const rounded = roundedWeight(name);
    const weight = weights.get(`${rounded?.path}.weight`);
    if (!rounded || !weight) continue;
    const { path, part } = rounded;
    const rows = rowsOf(weight, part);
    const whole = { name: `${path}.weight`, weight: rows, transposed: shape.length === 2, limit };
    for (const [own, tensor] of layer(whole, rounding))
      found.set(`${path}.${partName(own, part)}`, tensor);
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

/** A weight that is to be rounded. */
interface Whole extends Pick<Rounding, "limit" | "transposed"> {
  readonly name: string;
  readonly weight: StoredTensor;
}

/** What an 8-bit layer asks for of its weight, from one reading. */
function layer(
  whole: Whole,
  rounding: AtPlace<Workplace>,
): readonly (readonly [string, StoredTensor])[] {
  const { weight, transposed, limit } = whole;
  const { shape } = weight;
  const rows = shape[0]!;
  const read = together(() => rounding((place) => quantize(whole, place)));
  const how = `int8 ${limit} ${transposed} ${weight.dtype} ${weight.offset}`;
  const part = (name: keyof Quantized, dtype: "i8" | "f32", dims: readonly number[]) =>
    derivedTensor(dtype, dims, weight.source, `${name} ${how}`, () => read(name));
  return [
    [INT8_PARAMS.weight, part("values", "i8", transposed ? [sizeOf(shape) / rows, rows] : shape)],
    [INT8_PARAMS.scale, part("scale", "f32", [rows])],
    [INT8_PARAMS.norm, part("norm", "f32", [rows])],
  ];
}

/** Bytes that are read at once, the next ones while these are rounded. */
const PIECE = 4 * 2 ** 20;

/** Rows that are rounded together; any other number takes a little longer. */
const TILE = 16;

async function quantize(
  { name, weight, transposed, limit }: Whole,
  { begin, buffers }: Workplace,
): Promise<Quantized> {
  const { dtype, shape, source, offset, length } = weight;
  const rows = shape[0]!;
  const rounder = begin({ dtype, rows, width: sizeOf(shape) / rows, limit, transposed });
  const size = length / rows;
  const step = Math.max(1, Math.floor(PIECE / (TILE * size))) * TILE * size;
  const read = (at: number) => {
    const bytes = Math.min(step, length - at);
    return source.read(offset + at, bytes, buffers[(at / step) % 2]!(bytes));
  };
  let next = read(0);
  for (let at = 0; at < length; at += step) {
    const piece = await next;
    if (at + step < length) next = read(at + step);
    next.catch(() => {}); // whoever awaits it is told
    const broken = rounder.add(piece);
    if (broken !== undefined) throw notFinite(name, source.name);
  }
  return rounder.finish();
}

const notFinite = (name: string, file: string): TintypeError =>
  new TintypeError(
    "bad-file",
    `int8: ${name} of ${file} holds numbers that are not finite, so that none fit 8 bits. The file is ` +
      "probably damaged: download it again, or look at a picture that is drawn with --dtype fp32.",
  );

/** What rounds one weight at a time, and where its bytes are read to, by turns. */
interface Workplace {
  readonly begin: (rounding: Rounding) => Rounder;
  readonly buffers: readonly [Room, Room];
}

const workplace = (): Workplace => ({ begin: rounders(), buffers: [room(), room()] });

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
