import * as composite from "../graph/composites.js";
import type { Conv2dOptions } from "../graph/ops.js";
import * as op from "../graph/ops.js";
import type { Value } from "../graph/value.js";
import type { Init, Params, RootParams, WeightRule } from "./params.js";
import { params } from "./params.js";

const ONES: Init = { kind: "constant", value: 1 };
const ZEROS: Init = { kind: "constant", value: 0 };

/** PyTorch's default for linear and convolution layers: uniform in 1 / sqrt(fanIn). */
const uniformByFanIn = (fanIn: number): Init => ({ kind: "uniform", bound: 1 / Math.sqrt(fanIn) });

/** Weights as they stand in the file: one dense product. */
export const dense: WeightRule = {
  linear(p, x, outFeatures, bias) {
    const inFeatures = x.shape.at(-1) as number;
    const init = uniformByFanIn(inFeatures);
    const weight = p.get("weight", [outFeatures, inFeatures], init);
    return composite.linear(x, weight, bias ? p.get("bias", [outFeatures], init) : undefined);
  },
  conv2d(p, x, outChannels, kernel, options) {
    const inChannels = x.shape[1] as number;
    const init = uniformByFanIn(inChannels * kernel * kernel);
    const weight = p.get("weight", [outChannels, inChannels, kernel, kernel], init);
    return op.conv2d(x, weight, p.get("bias", [outChannels], init), options);
  },
};

/** Parameters for one trace, with dense weights. */
export function denseParams(): RootParams {
  return params(dense);
}

/** Fully connected layer: x [..., I] -> [..., outFeatures]; keys weight [O,I], bias [O]. */
export function linear(
  p: Params,
  x: Value,
  outFeatures: number,
  { bias = true }: { bias?: boolean } = {},
): Value {
  return p.rule.linear(p, x, outFeatures, bias);
}

/**
 * A fully connected layer whose results are used in `count` equal parts: x [..., I] -> `count` of
 * [..., outFeatures / count]; keys as those of `linear`.
 */
export function linearParts(
  p: Params,
  x: Value,
  outFeatures: number,
  count: number,
): readonly Value[] {
  if (p.rule.linearParts) return p.rule.linearParts(p, x, outFeatures, count);
  const whole = linear(p, x, outFeatures);
  const size = outFeatures / count;
  return Array.from({ length: count }, (_, i) => op.slice(whole, -1, i * size, size));
}

/** Convolution: x [B,C,H,W] -> [B,outChannels,H',W']; keys weight [O,C,k,k], bias [O]. Padding k/2. */
export function conv2d(
  p: Params,
  x: Value,
  outChannels: number,
  kernel: number,
  options: Conv2dOptions = {},
): Value {
  const padding = Math.floor(kernel / 2);
  return p.rule.conv2d(p, x, outChannels, kernel, { padding, ...options });
}

/** Group normalisation of x [B,C,...]; keys weight [C], bias [C]. */
export function groupNorm(p: Params, x: Value, groups: number, eps: number): Value {
  if (p.rule.groupNorm) return p.rule.groupNorm(p, x, groups, eps);
  const channels = x.shape[1] as number;
  const weight = p.get("weight", [channels], ONES);
  return composite.groupNorm(x, weight, p.get("bias", [channels], ZEROS), { groups, eps });
}

/** Layer normalisation of the last axis; keys weight [C], bias [C]. */
export function layerNorm(p: Params, x: Value, eps = 1e-5): Value {
  const channels = x.shape.at(-1) as number;
  const weight = p.get("weight", [channels], ONES);
  return composite.layerNorm(x, weight, p.get("bias", [channels], ZEROS), eps);
}

/** A learned table [rows, width] to look tokens or positions up in; key weight. */
export function embeddingTable(p: Params, rows: number, width: number): Value {
  return p.get("weight", [rows, width], { kind: "normal", std: 0.02 });
}
