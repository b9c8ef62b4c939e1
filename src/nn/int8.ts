import { int8Conv2d, int8Linear } from "../graph/composites.js";
import * as op from "../graph/ops.js";
import type { Value } from "../graph/value.js";
import { dense } from "./layers.js";
import type { Init, Params, RootParams, WeightRule } from "./params.js";
import { params } from "./params.js";

/** Which layers are computed in 8 bits, and how their results are scaled. */
export interface Int8Options {
  /** Whether the layer of this path stays as it is. */
  readonly keeps: (path: string) => boolean;
  /** Largest magnitudes of a convolution's results [O]: parameter `output_range` unless told otherwise. */
  readonly range?: (p: Params, channels: number) => Value;
  /** Called with the result of each convolution in 8 bits, by its path. */
  readonly observe?: (path: string, result: Value) => void;
}

/** Names of what an 8-bit layer asks for, below its path. */
export const INT8_PARAMS = {
  /** [I,O] of a linear layer, [O,I,k,k] of a convolution: whole numbers. */
  weight: "weight_int8",
  /** [O] */
  scale: "weight_scale",
  /** [O], of convolutions. */
  range: "output_range",
} as const;

const ONES: Init = { kind: "constant", value: 1 };
const ZEROS: Init = { kind: "constant", value: 0 };

const ownRange = (p: Params, channels: number): Value => p.get(INT8_PARAMS.range, [channels], ONES);

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
export function int8({ keeps, range = ownRange, observe }: Int8Options): WeightRule {
  return {
    linear(p, x, outFeatures, bias) {
      return (keeps(p.path) ? dense.linear : product)(p, x, outFeatures, bias);
    },
    conv2d(p, x, outChannels, kernel, options) {
      if (keeps(p.path)) return dense.conv2d(p, x, outChannels, kernel, options);
      if (kernel === 1) return pointwise(p, x, outChannels);
      const weight = p.get(INT8_PARAMS.weight, [outChannels, x.shape[1] as number, kernel, kernel], ZEROS);
      const scale = p.get(INT8_PARAMS.scale, [outChannels], ONES);
      const bias = p.get("bias", [outChannels], ZEROS);
      const operands = { weight, scale, bias, range: range(p, outChannels) };
      const result = int8Conv2d(x, operands, options);
      observe?.(p.path, result);
      return result;
    },
  };
}

/** Parameters for one trace, with weights in 8 bits. */
export function int8Params(options: Int8Options): RootParams {
  return params(int8(options));
}
