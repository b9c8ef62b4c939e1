import { add, scale } from "../tensor/elementwise.js";
import type { Tensor } from "../tensor/tensor.js";
import { invariant } from "../util/errors.js";
import type { Level } from "./types.js";

const f = Math.fround;

/** What is left after the last step: the picture alone. */
export const CLEAN: Level = { t: 0, alpha: 1, sigma: 0 };

/** The variance preserving level of a trained timestep: alpha^2 = alpha-bar, sigma^2 = 1 - alpha-bar. */
export function levelOf(alphasCumprod: Float32Array, t: number): Level {
  const alphaBar = alphasCumprod[t];
  invariant(alphaBar !== undefined, `timestep ${t} is not in [0, ${alphasCumprod.length})`);
  return { t, alpha: f(Math.sqrt(alphaBar)), sigma: f(Math.sqrt(f(1 - alphaBar))) };
}

/** The level sigma / alpha = `sigma` of sigma space, where alpha is 1. */
export function sigmaLevel(t: number, sigma: number): Level {
  return { t: f(t), alpha: 1, sigma: f(sigma) };
}

/** The variance preserving level with sigma / alpha = `ratio`. */
export function preservingLevel(t: number, ratio: number): Level {
  const alpha = f(1 / f(Math.sqrt(f(f(ratio * ratio) + 1))));
  return { t, alpha, sigma: f(ratio * alpha) };
}

/**
 * The forward process in closed form, a draw from q(x_t | x_0): alpha x0 + sigma noise, at any level.
 * x0 and noise [B,C,H,W]. Source: Ho et al. 2020, eq. 4; diffusers add_noise.
 */
export function addNoise(x0: Tensor, noise: Tensor, level: Level): Tensor {
  const kept = level.alpha === 1 ? x0 : scale(x0, level.alpha);
  return add(kept, scale(noise, level.sigma));
}

/**
 * One step of the forward process, a draw from q(x_t | x_{t-1}):
 * sqrt(1 - beta_t) x_{t-1} + sqrt(beta_t) noise. `t` in [0, betas.length). Source: Ho et al. 2020, eq. 2.
 */
export function diffuse(x: Tensor, noise: Tensor, betas: Float32Array, t: number): Tensor {
  const beta = betas[t];
  invariant(beta !== undefined, `timestep ${t} is not in [0, ${betas.length})`);
  return add(scale(x, Math.sqrt(f(1 - beta))), scale(noise, Math.sqrt(beta)));
}
