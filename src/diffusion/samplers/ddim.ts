import { randnBatch } from "../../tensor/random.js";
import type { Tensor } from "../../tensor/tensor.js";
import { CLEAN, levelOf } from "../forward.js";
import { noiseFrom } from "../parametrization.js";
import type { Denoiser, Step } from "../types.js";
import { type ConstrainedOptions, combine, keep, type NoisyOptions } from "./arithmetic.js";

export interface DdimOptions extends NoisyOptions, ConstrainedOptions {
  /** Timesteps of the run, falling. */
  readonly timesteps: readonly number[];
  /** Each step goes from t to t - stride, whatever the next timestep is, as in diffusers. */
  readonly stride: number;
  readonly alphasCumprod: Float32Array;
  /** alpha-bar of a timestep below 0. */
  readonly finalAlphaCumprod: number;
  /** 0: deterministic; 1: as much noise as DDPM. */
  readonly eta: number;
}

/**
 * DDIM. Song et al. 2021, eq. 12 and 16; diffusers DDIMScheduler. x [B,C,H,W] at variance preserving
 * levels. Draws once per step if eta > 0.
 */
export async function* ddim(
  denoise: Denoiser,
  x: Tensor,
  options: DdimOptions,
): AsyncGenerator<Step> {
  const { timesteps, stride, alphasCumprod, finalAlphaCumprod, eta, noise } = options;
  const { begin = 0, afterStep = keep, constrain = keep } = options;
  const f = Math.fround;
  const count = timesteps.length - begin;
  for (let i = begin; i < timesteps.length; i++) {
    const t = timesteps[i]!;
    const level = levelOf(alphasCumprod, t);
    const alphaBar = alphasCumprod[t]!;
    const target = t - stride >= 0 ? alphasCumprod[t - stride]! : finalAlphaCumprod;
    const estimate = await denoise(x, level);
    const eps = noiseFrom(estimate, x, level); // of the estimate before it is clipped
    const denoised = constrain(estimate);
    const variance = f(f(f(1 - target) / f(1 - alphaBar)) * f(1 - f(alphaBar / target)));
    const std = f(f(eta) * f(Math.sqrt(variance)));
    const direction = f(Math.sqrt(f(f(1 - target) - f(std * std))));
    x = combine([f(Math.sqrt(target)), denoised], [direction, eps]);
    if (eta > 0) x = combine([1, x], [std, randnBatch(noise, x.shape)]);
    const next = timesteps[i + 1];
    x = afterStep(x, next === undefined ? CLEAN : levelOf(alphasCumprod, next));
    yield { i: i - begin, count, level, x, denoised };
  }
}
