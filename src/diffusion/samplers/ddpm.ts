import { randnBatch } from "../../tensor/random.js";
import type { Tensor } from "../../tensor/tensor.js";
import { CLEAN, levelOf } from "../forward.js";
import type { Denoiser, Step } from "../types.js";
import { type ConstrainedOptions, combine, keep, type NoisyOptions } from "./arithmetic.js";

/** How much noise a step of DDPM adds: the posterior's variance, or that of the forward step. */
export type DdpmVariance = "fixed_small" | "fixed_small_log" | "fixed_large";

export interface DdpmOptions extends NoisyOptions, ConstrainedOptions {
  /** Timesteps of the run, falling; each step goes to the next one, the last to the clean picture. */
  readonly timesteps: readonly number[];
  readonly alphasCumprod: Float32Array;
  readonly variance: DdpmVariance;
}

/**
 * DDPM's ancestral sampling on any subset of the timesteps. Ho et al. 2020, eq. 6, 7 and 15;
 * diffusers DDPMScheduler. x [B,C,H,W] at variance preserving levels. Draws once per step with t > 0.
 */
export async function* ddpm(
  denoise: Denoiser,
  x: Tensor,
  options: DdpmOptions,
): AsyncGenerator<Step> {
  const { timesteps, alphasCumprod, variance: kind, noise } = options;
  const { begin = 0, afterStep = keep, constrain = keep } = options;
  const f = Math.fround;
  const count = timesteps.length - begin;
  for (let i = begin; i < timesteps.length; i++) {
    const [t, next] = [timesteps[i]!, timesteps[i + 1]];
    const level = levelOf(alphasCumprod, t);
    const alphaBar = alphasCumprod[t]!;
    const target = next === undefined ? 1 : alphasCumprod[next]!;
    const alpha = f(alphaBar / target);
    const [beta, rest, restTarget] = [f(1 - alpha), f(1 - alphaBar), f(1 - target)];
    const denoised = constrain(await denoise(x, level));
    const mean = combine(
      [f(f(f(Math.sqrt(target)) * beta) / rest), denoised],
      [f(f(f(Math.sqrt(alpha)) * restTarget) / rest), x],
    );
    x = mean;
    if (t > 0) {
      const small = Math.max(f(f(restTarget / rest) * beta), f(1e-20));
      const variance = kind === "fixed_large" ? beta : small;
      x = combine([1, mean], [f(Math.sqrt(variance)), randnBatch(noise, x.shape)]);
    }
    x = afterStep(x, next === undefined ? CLEAN : levelOf(alphasCumprod, next));
    yield { i: i - begin, count, level, x, denoised };
  }
}
