import { add, scale } from "../../tensor/elementwise.js";
import { type Tensor, tensor } from "../../tensor/tensor.js";
import { invariant } from "../../util/errors.js";
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

/** One standard normal draw for a batch [B,...]: picture k from its own source, as diffusers draws. */
export function drawNoise(noise: BatchNoise, shape: readonly number[]): Tensor {
  const [batch = 0, ...rest] = shape;
  invariant(noise.length === batch, `${noise.length} noise sources for ${batch} pictures`);
  const parts = noise.map((source) => source.randn([1, ...rest]).data);
  const data = new Float32Array(parts.reduce((n, part) => n + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    data.set(part, offset);
    offset += part.length;
  }
  return tensor(shape, data);
}

/**
 * How an ancestral step from one sigma to a smaller one splits: fall to `down`, then add noise `up`.
 * Source: k-diffusion, get_ancestral_step with eta 1.
 */
export function ancestralStep(from: number, to: number): { up: number; down: number } {
  const f = Math.fround;
  const [from2, to2] = [f(from * from), f(to * to)];
  const up = f(Math.sqrt(f(f(to2 * f(from2 - to2)) / from2)));
  return { up, down: f(Math.sqrt(f(to2 - f(up * up)))) };
}
