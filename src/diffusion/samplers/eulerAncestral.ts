import { divide, sub } from "../../tensor/elementwise.js";
import { randnBatch } from "../../tensor/random.js";
import type { Tensor } from "../../tensor/tensor.js";
import { CLEAN } from "../forward.js";
import type { Denoiser, Level, Step } from "../types.js";
import { ancestralStep, combine, keep, type NoisyOptions } from "./arithmetic.js";

/**
 * Euler with ancestral noise: an Euler step that falls too far, then fresh noise up to the level.
 * Source: k-diffusion sample_euler_ancestral; diffusers EulerAncestralDiscreteScheduler.
 * x [B,C,H,W] in sigma space (alpha 1); levels: noise falling to 0. One draw per step, the last too.
 */
export async function* eulerAncestral(
  denoise: Denoiser,
  x: Tensor,
  levels: readonly Level[],
  options: NoisyOptions,
): AsyncGenerator<Step> {
  const { begin = 0, noise, afterStep = keep } = options;
  const last = levels.length - 2;
  for (let i = begin; i <= last; i++) {
    const [level, next] = [levels[i]!, levels[i + 1]!];
    const { up, down } = ancestralStep(level.sigma, next.sigma);
    const denoised = await denoise(x, level);
    const derivative = divide(sub(x, denoised), level.sigma);
    const fall = Math.fround(down - level.sigma);
    x = combine([1, x], [fall, derivative], [up, randnBatch(noise, x.shape)]);
    x = afterStep(x, i < last ? next : CLEAN);
    yield { i: i - begin, count: last + 1 - begin, level, x, denoised };
  }
}
