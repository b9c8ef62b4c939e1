import { divide, sub } from "../../tensor/elementwise.js";
import type { Tensor } from "../../tensor/tensor.js";
import { CLEAN } from "../forward.js";
import type { Denoiser, Level, Step } from "../types.js";
import { combine, keep, type SamplerOptions } from "./arithmetic.js";

/**
 * DPM-Solver-2 as k-diffusion has it: the midpoint method, its midpoint halfway in log sigma; the
 * last step, to zero noise, is Euler's. Source: Lu et al. 2022, DPM-Solver, algorithm 1; Karras et
 * al. 2022; diffusers KDPM2DiscreteScheduler.
 * x [B,C,H,W] in sigma space (alpha 1); levels: noise falling to 0; middles[i] lies between levels i
 * and i + 1, one for each step but the last. Two network calls per step.
 */
export async function* dpm2(
  denoise: Denoiser,
  x: Tensor,
  levels: readonly Level[],
  middles: readonly Level[],
  options: SamplerOptions = {},
): AsyncGenerator<Step> {
  const { begin = 0, afterStep = keep } = options;
  const f = Math.fround;
  const last = levels.length - 2;
  for (let i = begin; i <= last; i++) {
    const [level, middle, next] = [levels[i]!, middles[i], levels[i + 1]!];
    let denoised = await denoise(x, level);
    const slope = divide(sub(x, denoised), level.sigma);
    if (i === last || middle === undefined) {
      x = afterStep(combine([1, x], [f(next.sigma - level.sigma), slope]), CLEAN);
    } else {
      // diffusers puts known pixels back here at the noise of the step's end, not of its middle.
      const half = combine([1, x], [f(middle.sigma - level.sigma), slope]);
      const there = afterStep(half, next);
      denoised = await denoise(there, middle);
      const slopeThere = divide(sub(there, denoised), middle.sigma);
      x = afterStep(combine([1, x], [f(next.sigma - level.sigma), slopeThere]), next);
    }
    yield { i: i - begin, count: last + 1 - begin, level, x, denoised };
  }
}
