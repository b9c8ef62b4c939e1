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
  /** Index of the step that evaluates the network here; absent where no schedule placed the level. */
  readonly step?: number;
}

/**
 * Seen by samplers after every move of x, the intermediate ones of second-order steps included:
 * (x, level that x is now at) -> x to go on with. `next` is in the scale of x; after the last step
 * it is the clean level {t: 0, alpha: 1, sigma: 0}. Inpainting puts the known picture back here.
 */
export type StepHook = (x: Tensor, next: Level) => Tensor;

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

/** What a k-diffusion sampler needs beside the denoiser and its levels. */
export interface KSamplerOptions {
  readonly noise: BatchNoise;
  /** The level at any sigma between those of the schedule, alpha 1: tells the network its t. */
  readonly levelAt: (sigma: number) => Level;
  readonly afterStep?: StepHook | undefined;
}

/**
 * A sampler as k-diffusion has them: x in sigma space (alpha 1), levels falling to sigma 0. One
 * step per pair of neighbouring levels.
 */
export type KSampler = (
  denoise: Denoiser,
  x: Tensor,
  levels: readonly Level[],
  options: KSamplerOptions,
) => AsyncGenerator<Step>;
