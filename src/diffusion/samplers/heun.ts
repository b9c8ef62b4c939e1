import { add, divide, sub } from "../../tensor/elementwise.js";
import type { Tensor } from "../../tensor/tensor.js";
import { CLEAN } from "../forward.js";
import type { Denoiser, Level, Step } from "../types.js";
import { type ConstrainedOptions, combine, keep } from "./arithmetic.js";

/**
 * Heun's second-order method: the mean of the slopes at both ends of a step; the last step, to zero
 * noise, is Euler's. Source: Karras et al. 2022, algorithm 1; diffusers HeunDiscreteScheduler.
 * x [B,C,H,W] in sigma space (alpha 1); levels: noise falling to 0. Two network calls per step.
 */
export async function* heun(
  denoise: Denoiser,
  x: Tensor,
  levels: readonly Level[],
  options: ConstrainedOptions = {},
): AsyncGenerator<Step> {
  const { begin = 0, afterStep = keep, constrain = keep } = options;
  const last = levels.length - 2;
  for (let i = begin; i <= last; i++) {
    const [level, next] = [levels[i]!, levels[i + 1]!];
    const dt = Math.fround(next.sigma - level.sigma);
    let denoised = constrain(await denoise(x, level));
    const slope = divide(sub(x, denoised), level.sigma);
    if (i === last) {
      x = afterStep(combine([1, x], [dt, slope]), CLEAN);
    } else {
      const ahead = afterStep(combine([1, x], [dt, slope]), next);
      denoised = constrain(await denoise(ahead, next));
      const slopeAhead = divide(sub(ahead, denoised), next.sigma);
      x = afterStep(combine([1, x], [dt, divide(add(slope, slopeAhead), 2)]), next);
    }
    yield { i: i - begin, count: last + 1 - begin, level, x, denoised };
  }
}
