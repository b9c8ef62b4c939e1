import type { Tensor } from "./tensor.js";

/** A seeded source of standard normal noise. Each call draws on where the last one stopped. */
export interface NoiseSource {
  /** Standard normal numbers of this shape, float32. */
  randn(shape: readonly number[]): Tensor;
}
