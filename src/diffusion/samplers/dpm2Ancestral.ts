import { divide, sub } from "../../tensor/elementwise.js";
import { randnBatch } from "../../tensor/random.js";
import type { Tensor } from "../../tensor/tensor.js";
import { CLEAN } from "../forward.js";
import type { Denoiser, Level, Step } from "../types.js";
import { ancestralStep, combine, keep, type NoisyOptions } from "./arithmetic.js";

/**
 * DPM-Solver-2 with ancestral noise: the midpoint method down past the next level, then fresh noise
 * up to it; the last step is Euler's and draws nothing. Source: k-diffusion
 * sample_dpm_2_ancestral; diffusers KDPM2AncestralDiscreteScheduler.
 * x [B,C,H,W] in sigma space (alpha 1); levels: noise falling to 0; middles[i] lies between level i
 * and the point that step i falls to, one for each step but the last.
 */
export async function* dpm2Ancestral(
  denoise: Denoiser,
  x: Tensor,
  levels: readonly Level[],
  middles: readonly Level[],
  options: NoisyOptions,
): AsyncGenerator<Step> {
  const { begin = 0, noise, afterStep = keep } = options;
  const f = Math.fround;
  const last = levels.length - 2;
  for (let i = begin; i <= last; i++) {
    const [level, middle, next] = [levels[i]!, middles[i], levels[i + 1]!];
    let denoised = await denoise(x, level);
    const slope = divide(sub(x, denoised), level.sigma);
    if (i === last || middle === undefined) {
      x = afterStep(combine([1, x], [f(next.sigma - level.sigma), slope]), CLEAN);
    } else {
      const { up, down } = ancestralStep(level.sigma, next.sigma);
      const there = afterStep(combine([1, x], [f(middle.sigma - level.sigma), slope]), next);
      denoised = await denoise(there, middle);
      const slopeThere = divide(sub(there, denoised), middle.sigma);
      const fallen = combine([1, x], [f(down - level.sigma), slopeThere]);
      x = afterStep(combine([1, fallen], [up, randnBatch(noise, x.shape)]), next);
    }
    yield { i: i - begin, count: last + 1 - begin, level, x, denoised };
  }
}
