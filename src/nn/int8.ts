import { int8Conv2d, int8Linear, int8Peak } from "../graph/composites.js";
import * as op from "../graph/ops.js";
import type { Value } from "../graph/value.js";
import { dense, linearParts } from "./layers.js";
import type { Init, Params, RootParams, WeightRule } from "./params.js";
import { params, withRule } from "./params.js";

/** Which layers are computed in 8 bits, and how their results are scaled. */
export interface Int8Options {
  /** Whether the layer of this path stays as it is. */
  readonly keeps: (path: string) => boolean;
  /** Who chooses ranges where they are no parameters, and is told how much results take of them. */
  readonly observer?: RangeObserver;
}

/** Watches convolutions whose ranges it chooses. */
export interface RangeObserver {
  /** Largest magnitudes to expect [O]; a parameter where it is undefined. */
  range(path: string): Value | undefined;
  /** Called with the largest magnitudes of each result before its bias [O]. */
  peak(path: string, peak: Value): void;
}

/** Names of what an 8-bit layer asks for, below its path. */
export const INT8_PARAMS = {
  /** [I,O] of a linear layer, [O,I,k,k] of a convolution: whole numbers. */
  weight: "weight_int8",
  /** What one of them stands for [O]. */
  scale: "weight_scale",
  /** sqrt(sum of squares) of the weight's rows [O]: no graph asks for it, who looks for ranges does. */
  norm: "weight_norm",
  /** Largest magnitudes of a convolution's results before the bias [O]. */
  range: "output_range",
} as const;

const ONES: Init = { kind: "constant", value: 1 };
const ZEROS: Init = { kind: "constant", value: 0 };

/** Part `index` of `count` equal parts of a linear layer's results, with a weight of its own. */
export interface LayerPart {
  readonly index: number;
  readonly count: number;
}

const WHOLE: LayerPart = { index: 0, count: 1 };

/** What a part of a layer asks for in place of a name of `INT8_PARAMS`: "weight_int8_1of2". */
export function partName(name: string, { index, count }: LayerPart): string {
  return count === 1 ? name : `${name}_${index + 1}of${count}`;
}

const ROUNDED = new RegExp(`^(.*)\\.${INT8_PARAMS.weight}(?:_(\\d+)of(\\d+))?$`);

/** The layer whose rounded weight has this name, and which part of it; undefined for other names. */
export function roundedWeight(
  name: string,
): { readonly path: string; readonly part: LayerPart } | undefined {
  const [, path, number = "1", count = "1"] = ROUNDED.exec(name) ?? [];
  if (path === undefined) return undefined;
  return { path, part: { index: Number(number) - 1, count: Number(count) } };
}

/** x [..., I] -> [..., O], or a part of that; results are floats at once. */
function product(
  p: Params,
  x: Value,
  outFeatures: number,
  bias: boolean,
  part: LayerPart = WHOLE,
): Value {
  const size = outFeatures / part.count;
  const named = (name: string): string => partName(name, part);
  const weight = p.get(named(INT8_PARAMS.weight), [x.shape.at(-1) as number, size], ZEROS);
  const scale = p.get(named(INT8_PARAMS.scale), [size], ONES);
  if (!bias) return int8Linear(x, weight, scale);
  const all = p.get("bias", [outFeatures], ZEROS);
  const own = part.count === 1 ? all : op.slice(all, 0, part.index * size, size);
  return int8Linear(x, weight, scale, own);
}

/** A convolution of single pixels is a linear layer of their channels: no rounding of its results. */
function pointwise(p: Params, x: Value, outChannels: number): Value {
  const result = product(p, op.transpose(x, [0, 2, 3, 1]), outChannels, true);
  return op.transpose(result, [0, 3, 1, 2]);
}

/** Weights in 8 bits, each output channel in units of its own. */
export function int8({ keeps, observer }: Int8Options): WeightRule {
  const { weight: values, scale, range } = INT8_PARAMS;
  return {
    linear(p, x, outFeatures, bias) {
      return (keeps(p.path) ? dense.linear : product)(p, x, outFeatures, bias);
    },
    // Weights of parts are as good as one, and nothing has to be cut.
    linearParts(p, x, outFeatures, count) {
      if (keeps(p.path)) return linearParts(withRule(p, dense), x, outFeatures, count);
      const parts = Array.from({ length: count }, (_, index) => ({ index, count }));
      return parts.map((part) => product(p, x, outFeatures, true, part));
    },
    conv2d(p, x, outChannels, kernel, options) {
      if (keeps(p.path)) return dense.conv2d(p, x, outChannels, kernel, options);
      if (kernel === 1) return pointwise(p, x, outChannels);
      const operands = {
        weight: p.get(values, [outChannels, x.shape[1] as number, kernel, kernel], ZEROS),
        scale: p.get(scale, [outChannels], ONES),
        bias: p.get("bias", [outChannels], ZEROS),
        range: observer?.range(p.path) ?? p.get(range, [outChannels], ONES),
      };
      const result = int8Conv2d(x, operands, options);
      observer?.peak(p.path, int8Peak(result, operands.bias));
      return result;
    },
  };
}

/** Parameters for one trace, with weights in 8 bits. */
export function int8Params(options: Int8Options): RootParams {
  return params(int8(options));
}
