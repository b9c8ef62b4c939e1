import { int8Conv2d, int8Linear, int8Peak } from "../graph/composites.js";
import * as op from "../graph/ops.js";
import type { Value } from "../graph/value.js";
import { dense } from "./layers.js";
import type { Init, Params, RootParams, WeightRule } from "./params.js";
import { params } from "./params.js";

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

/** x [..., I] -> [..., O], whose results are floats at once. */
function product(p: Params, x: Value, outFeatures: number, bias: boolean): Value {
  const weight = p.get(INT8_PARAMS.weight, [x.shape.at(-1) as number, outFeatures], ZEROS);
  const scale = p.get(INT8_PARAMS.scale, [outFeatures], ONES);
  return int8Linear(x, weight, scale, bias ? p.get("bias", [outFeatures], ZEROS) : undefined);
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
