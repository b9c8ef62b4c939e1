import { int8Weights, type OutputRanges } from "../../src/checkpoints/index.js";
import { type Array64, evaluate } from "../../src/graph/evaluate.js";
import { type Graph, graphOf } from "../../src/graph/graph.js";
import type { Value } from "../../src/graph/value.js";
import { type Int8Options, int8Params } from "../../src/nn/int8.js";
import type { Params } from "../../src/nn/params.js";
import type { Engine } from "../../src/runtime/engine.js";
import { readTensor } from "../../src/tensor/convert.js";
import { type StoredTensors, storedInMemory } from "../../src/tensor/stored.js";
import type { Tensor } from "../../src/tensor/tensor.js";

/*
 * Layers in 8 bits, from weights in float32 to what the engine makes of them, and what the engine must
 * make of them to the last bit.
 */

const { fround, abs, max, min, floor } = Math;

type Tensors = Readonly<Record<string, Tensor>>;

/** A graph in 8 bits with its weights. */
export interface Layer {
  readonly graph: Graph;
  readonly weights: StoredTensors;
  /** What its parameters are. */
  readonly params: Readonly<Record<string, Tensor>>;
}

export interface LayerOptions extends Partial<Int8Options> {
  readonly limit?: 127 | 63;
  readonly ranges?: OutputRanges;
}

/** Traces `output` in 8 bits over weights in float32, named as a checkpoint names them. */
export async function layer(
  output: (p: Params) => Value,
  weights: Tensors,
  { limit = 127, ranges = new Map(), keeps = () => false, observer }: LayerOptions = {},
): Promise<Layer> {
  const options = observer ? { keeps, observer } : { keeps };
  const graph = graphOf({ output: output(int8Params(options)) });
  const stored = storedInMemory(new Map(Object.entries(weights)));
  const rounded = int8Weights(graph, stored, { limit, ranges });
  const names = [...graph.params.keys()];
  const params = await Promise.all(
    names.map(async (name) => [name, await readTensor(rounded.get(name)!)] as const),
  );
  return { graph, weights: rounded, params: Object.fromEntries(params) };
}

/** What an engine answers to each of `inputs`, by one program. */
export async function answers(
  engine: Engine,
  { graph, weights }: Layer,
  ...inputs: readonly Tensors[]
): Promise<Tensor[]> {
  await using program = await engine.load(graph, weights, { label: "a layer in 8 bits" });
  const got: Tensor[] = [];
  for (const fed of inputs) got.push((await program.run(fed)).output!);
  return got;
}

const to64 = ({ shape, data }: Tensor): Array64 => ({ shape, data: Float64Array.from(data) });

/** What the definition of a layer says: rounded weights, and nothing else rounded. */
export function exact({ graph, params }: Layer, inputs: Tensors): Float64Array {
  const fed = Object.fromEntries(Object.entries(inputs).map(([name, t]) => [name, to64(t)]));
  const [output] = evaluate([graph.outputs.output!], {
    inputs: fed,
    params: (name) => to64(params[name]!),
  });
  return output!.data;
}

/** To the nearest whole number, halves to the even one: as processors round. */
export function roundHalfEven(x: number): number {
  const down = floor(x);
  const rest = x - down;
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
  return down % 2 === 0 ? down : down + 1;
}

const clamp = (x: number, low: number, high: number): number => max(low, min(high, x));

/** Numbers in units, around a zero: as ONNX's DynamicQuantizeLinear has it. */
interface Rounded {
  readonly values: readonly number[];
  readonly unit: number;
  readonly zero: number;
}

/** The unit and the zero that the extremes of x fit. */
function dynamicUnit(x: Float32Array): { readonly unit: number; readonly zero: number } {
  const [low, high] = [x.reduce((a, b) => min(a, b), 0), x.reduce((a, b) => max(a, b), 0)];
  const unit = low === high ? 1 : fround(fround(high - low) / 255);
  return { unit, zero: roundHalfEven(clamp(-fround(low / unit), 0, 255)) };
}

const inUnits = (x: Float32Array, unit: number, zero: number): Rounded => ({
  values: Array.from(x, (v) => clamp(roundHalfEven(fround(v / unit)), -zero, 255 - zero)),
  unit,
  zero,
});

/** The input of a linear layer as the engine rounds it. */
export const roundedTokens = (x: Float32Array): Rounded => {
  const { unit, zero } = dynamicUnit(x);
  return inUnits(x, unit, zero);
};

/** The input of a convolution as it is rounded around a zero that is known beforehand. */
export function roundedPixels(x: Float32Array, middle: 128 | 16): Rounded {
  const { unit, zero } = dynamicUnit(x);
  const part = (units: number, of: number): number => fround(fround(unit * fround(1 / of)) * units);
  return inUnits(x, max(part(255 - zero, 255 - middle), part(zero, middle)), middle);
}

/** How results of each channel are kept in 8 bits. */
interface ResultUnits {
  readonly unit: number;
  /** The bias in units. */
  readonly away: number;
}

function resultUnits(bias: number, range: number): ResultUnits {
  const size = abs(bias);
  const unit = fround(max(range, size) * fround(1 / 127));
  const whole = floor(fround(size / unit));
  const units = whole < 1 ? unit : fround(size / whole);
  return { unit: units, away: roundHalfEven(fround(bias / units)) };
}

/** A convolution's settings. */
export interface Convolution {
  readonly stride: number;
  /** top, left, bottom, right */
  readonly padding: readonly [number, number, number, number];
}

/** What a convolution in 8 bits gives of an input that was rounded already, to the last bit. */
export function convolved(
  { values, unit }: Rounded,
  [batch, inChannels, height, width]: readonly number[],
  { weight, scale, bias, range }: Readonly<Record<"weight" | "scale" | "bias" | "range", Tensor>>,
  { stride, padding: [top, left, bottom, right] }: Convolution,
): number[] {
  const [outChannels, , k] = weight.shape as readonly [number, number, number, number];
  const [I, H, W] = [inChannels!, height!, width!];
  const rows = floor((H + top + bottom - k) / stride) + 1;
  const columns = floor((W + left + right - k) / stride) + 1;
  const at = (n: number, i: number, y: number, x: number): number =>
    y < 0 || x < 0 || y >= H || x >= W ? 0 : values[((n * I + i) * H + y) * W + x]!;
  const out: number[] = [];
  for (let n = 0; n < batch!; n++)
    for (let o = 0; o < outChannels; o++) {
      const results = resultUnits(bias.data[o]!, range.data[o]!);
      const factor = fround(unit * fround(scale.data[o]! / results.unit));
      for (let y = 0; y < rows; y++)
        for (let x = 0; x < columns; x++) {
          let sum = 0;
          for (let i = 0; i < I; i++)
            for (let r = 0; r < k; r++)
              for (let c = 0; c < k; c++)
                sum +=
                  weight.data[((o * I + i) * k + r) * k + c]! *
                  at(n, i, y * stride - top + r, x * stride - left + c);
          const whole = clamp(roundHalfEven(fround(fround(sum) * factor)), -128, 127);
          out.push(fround((whole + results.away) * results.unit));
        }
    }
  return out;
}

/** What a linear layer in 8 bits gives of rounded tokens [rows, I], but for the last bits. */
export function multiplied(
  { values, unit }: Rounded,
  { weight, scale, bias }: { readonly weight: Tensor; scale: Tensor; bias?: Tensor | undefined },
): number[] {
  const [inFeatures, outFeatures] = weight.shape as readonly [number, number];
  return Array.from({ length: (values.length / inFeatures) * outFeatures }, (_, at) => {
    const [row, o] = [floor(at / outFeatures), at % outFeatures];
    let sum = 0;
    for (let i = 0; i < inFeatures; i++)
      sum += values[row * inFeatures + i]! * weight.data[i * outFeatures + o]!;
    return sum * fround(unit * scale.data[o]!) + (bias?.data[o] ?? 0);
  });
}

/** Half a unit of each result, and what rounding the input adds: how far from `exact` it may be. */
export function errorBounds(
  { unit }: Rounded,
  { weight, scale, bias, range }: Readonly<Record<"weight" | "scale" | "bias" | "range", Tensor>>,
): number[] {
  const size = weight.data.length / scale.data.length;
  return Array.from(scale.data, (s, o) => {
    const row = weight.data.subarray(o * size, (o + 1) * size);
    const sum = row.reduce((total, w) => total + abs(w), 0) * s;
    const results = resultUnits(bias.data[o]!, range.data[o]!);
    const biasError = abs(bias.data[o]! - results.away * results.unit);
    return (0.5 * unit * sum + 0.5 * results.unit + biasError) * 1.0001;
  });
}
