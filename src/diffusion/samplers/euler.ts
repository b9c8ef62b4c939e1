import { divide, sub } from "../../tensor/elementwise.js";
import type { Tensor } from "../../tensor/tensor.js";
import { CLEAN } from "../forward.js";
import type { Denoiser, Level, Step } from "../types.js";
import { combine, keep, type SamplerOptions } from "./arithmetic.js";

/**
 * Euler. Karras et al. 2022, algorithm 2 without churn; diffusers EulerDiscreteScheduler.
 * x [B,C,H,W] in sigma space (alpha 1); levels: noise falling, one more than there are steps.
 */
export async function* euler(
  denoise: Denoiser,
  x: Tensor,
  levels: readonly Level[],
  options: SamplerOptions = {},
): AsyncGenerator<Step> {
  const { begin = 0, afterStep = keep } = options;
  const last = levels.length - 2;
  for (let i = begin; i <= last; i++) {
    const [level, next] = [levels[i]!, levels[i + 1]!];
    const denoised = await denoise(x, level);
    const derivative = divide(sub(x, denoised), level.sigma);
    x = combine([1, x], [Math.fround(next.sigma - level.sigma), derivative]);
    x = afterStep(x, i < last ? next : CLEAN);
    yield { i: i - begin, count: last + 1 - begin, level, x, denoised };
  }
}
