import { randnBatch } from "../../tensor/random.js";
import type { Tensor } from "../../tensor/tensor.js";
import { CLEAN, levelOf } from "../forward.js";
import type { Denoiser, Step } from "../types.js";
import { type ConstrainedOptions, combine, keep, type NoisyOptions } from "./arithmetic.js";

export interface LcmOptions extends NoisyOptions, ConstrainedOptions {
  /** Timesteps of the run, falling. */
  readonly timesteps: readonly number[];
  readonly alphasCumprod: Float32Array;
  /** How fast the consistency function turns from x to the network's estimate as t grows. */
  readonly timestepScaling: number;
}

/**
 * Latent consistency sampling: jump to the clean latents, put noise back, jump again.
 * Source: Luo et al. 2023, algorithm 3; diffusers LCMScheduler. x [B,C,H,W] at variance preserving
 * levels. Draws once per step but the last.
 */
export async function* lcm(
  denoise: Denoiser,
  x: Tensor,
  options: LcmOptions,
): AsyncGenerator<Step> {
  const { timesteps, alphasCumprod, timestepScaling, noise } = options;
  const { begin = 0, afterStep = keep, constrain = keep } = options;
  const f = Math.fround;
  const data2 = 0.25; // sigma_data^2
  const count = timesteps.length - begin;
  for (let i = begin; i < timesteps.length; i++) {
    const [t, next] = [timesteps[i]!, timesteps[i + 1]];
    const level = levelOf(alphasCumprod, t);
    const scaled = f(t * f(timestepScaling));
    const total = f(f(scaled * scaled) + data2);
    const estimate = constrain(await denoise(x, level));
    const denoised = combine([f(scaled / f(Math.sqrt(total))), estimate], [f(data2 / total), x]);
    if (next === undefined) {
      x = afterStep(denoised, CLEAN);
    } else {
      const { alpha, sigma } = levelOf(alphasCumprod, next);
      x = combine([alpha, denoised], [sigma, randnBatch(noise, x.shape)]);
      x = afterStep(x, levelOf(alphasCumprod, next));
    }
    yield { i: i - begin, count, level, x, denoised };
  }
}
