import { int8Conv2d, int8Linear } from "../graph/composites.js";
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

/** Weights in 8 bits, each output channel in units of its own. */
export function int8({ keeps, range = ownRange, observe }: Int8Options): WeightRule {
  const { weight: name, scale: scaleName } = INT8_PARAMS;
  return {
    linear(p, x, outFeatures, bias) {
      if (keeps(p.path)) return dense.linear(p, x, outFeatures, bias);
      const weight = p.get(name, [x.shape.at(-1) as number, outFeatures], ZEROS);
      const scale = p.get(scaleName, [outFeatures], ONES);
      return int8Linear(x, weight, scale, bias ? p.get("bias", [outFeatures], ZEROS) : undefined);
    },
    conv2d(p, x, outChannels, kernel, options) {
      if (keeps(p.path)) return dense.conv2d(p, x, outChannels, kernel, options);
      const weight = p.get(name, [outChannels, x.shape[1] as number, kernel, kernel], ZEROS);
      const scale = p.get(scaleName, [outChannels], ONES);
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
