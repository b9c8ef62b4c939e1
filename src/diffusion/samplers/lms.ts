import { divide, sub } from "../../tensor/elementwise.js";
import type { Tensor } from "../../tensor/tensor.js";
import { CLEAN } from "../forward.js";
import type { Denoiser, Level, Step } from "../types.js";
import { combine, keep, type SamplerOptions } from "./arithmetic.js";

/** Nodes and weights of the two-point Gauss rule on [-1, 1]: exact for cubics, all that is met here. */
const GAUSS = [-1, 1].map((sign) => sign / Math.sqrt(3));

/**
 * The weights of the last `order` slopes: the integral over the step from sigma_i to sigma_{i+1} of
 * each Lagrange polynomial through the sigmas of those slopes, newest first.
 */
function adamsWeights(sigmas: readonly number[], i: number, order: number): number[] {
  const [from, to] = [sigmas[i]!, sigmas[i + 1]!];
  const [middle, half] = [(to + from) / 2, (to - from) / 2];
  return Array.from({ length: order }, (_, j) => {
    const polynomial = (tau: number): number => {
      let product = 1;
      for (let k = 0; k < order; k++) {
        if (k !== j) product *= (tau - sigmas[i - k]!) / (sigmas[i - j]! - sigmas[i - k]!);
      }
      return product;
    };
    return GAUSS.reduce((sum, node) => sum + half * polynomial(middle + half * node), 0);
  });
}

/**
 * Linear multistep (Adams-Bashforth on uneven sigmas), order 4.
 * Source: k-diffusion sample_lms; diffusers LMSDiscreteScheduler, which counts the order from the
 * schedule's first level even where a run begins later and so has fewer slopes than weights.
 * x [B,C,H,W] in sigma space (alpha 1); levels: noise falling to 0.
 */
export async function* lms(
  denoise: Denoiser,
  x: Tensor,
  levels: readonly Level[],
  options: SamplerOptions = {},
): AsyncGenerator<Step> {
  const { begin = 0, afterStep = keep } = options;
  const last = levels.length - 2;
  const sigmas = levels.map((level) => level.sigma);
  let slopes: Tensor[] = []; // newest first
  for (let i = begin; i <= last; i++) {
    const level = levels[i]!;
    const denoised = await denoise(x, level);
    slopes = [divide(sub(x, denoised), level.sigma), ...slopes].slice(0, 4);
    const weights = adamsWeights(sigmas, i, Math.min(i + 1, 4));
    const terms = slopes.map((slope, j) => [weights[j]!, slope] as const);
    x = combine([1, x], [1, combine(...terms)]);
    x = afterStep(x, i < last ? levels[i + 1]! : CLEAN);
    yield { i: i - begin, count: last + 1 - begin, level, x, denoised };
  }
}
