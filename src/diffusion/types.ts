import type { NoiseSource } from "../tensor/random.js";
import type { Tensor } from "../tensor/tensor.js";

/**
 * A noise level: `x = alpha * x0 + sigma * eps`.
 * `t` is the timestep that the network is told, in [0, numTrainTimesteps), fractional where a
 * schedule interpolates. Variance preserving levels have alpha^2 + sigma^2 = 1; the k-diffusion
 * samplers work on the same levels in sigma space, x / alpha, where noise is sigma / alpha.
 */
export interface Level {
  readonly t: number;
  readonly alpha: number;
  readonly sigma: number;
}

/** The network, seen as an estimate of the clean latents: (x at level, level) -> x0, same shape. */
export type Denoiser = (x: Tensor, level: Level) => Promise<Tensor>;

/** What a sampler yields after each step. */
export interface Step {
  /** Index of the step, from 0. */
  readonly i: number;
  /** Number of steps that this run takes in all. */
  readonly count: number;
  /** The level that x was at before the step. */
  readonly level: Level;
  /** Latents after the step, in the scale that the sampler works in. */
  readonly x: Tensor;
  /** The estimate of the clean latents. */
  readonly denoised: Tensor;
}

/** Noise for one run: picture k of a batch draws from `sources[k]`. */
export type BatchNoise = readonly NoiseSource[];
