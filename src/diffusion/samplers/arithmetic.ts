import { add, scale } from "../../tensor/elementwise.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { BatchNoise, StepHook } from "../types.js";

/** What every sampler may be given. */
export interface SamplerOptions {
  /** Index of the first step that is taken: image to image starts in the middle. */
  readonly begin?: number;
  readonly afterStep?: StepHook | undefined;
}

/** Samplers that draw noise as they go. */
export interface NoisyOptions extends SamplerOptions {
  readonly noise: BatchNoise;
}

/** Samplers that may clip or threshold the estimate of x0. */
export interface ConstrainedOptions extends SamplerOptions {
  readonly constrain?: ((x0: Tensor) => Tensor) | undefined;
}

/** x as it is: the hook and the constraint of samplers that were given none. */
export const keep = (x: Tensor): Tensor => x;

/** c1 x1 + c2 x2 + ..., in this order, each product and each sum rounded to float32 as in PyTorch. */
export function combine(...terms: readonly (readonly [number, Tensor])[]): Tensor {
  return terms.map(([c, x]) => scale(x, c)).reduce(add);
}

/**
 * How an ancestral step from one sigma to a smaller one splits: fall to `down`, then add noise `up`.
 * Source: k-diffusion, get_ancestral_step with eta 1.
 */
export function ancestralStep(from: number, to: number): { up: number; down: number } {
  const f = Math.fround;
  const [from2, to2] = [f(from * from), f(to * to)];
  const up = f(Math.sqrt(f(f(to2 * f(from2 - to2)) / from2)));
  // Rounding can leave less than nothing where the step is very long; the references have NaN there.
  return { up, down: f(Math.sqrt(Math.max(f(to2 - f(up * up)), 0))) };
}
