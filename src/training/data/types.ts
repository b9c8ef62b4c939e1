import type { Tensor } from "../../tensor/tensor.js";

/** Examples of one step, all of one size. */
export interface Batch {
  /** Pictures [B,3,H,W] in [-1,1]. */
  readonly images: Tensor;
  /** One caption a picture; "" where there is none. */
  readonly captions: readonly string[];
  /** What messages call each example: a file name, a shard and a key, a seed. */
  readonly names: readonly string[];
}

/**
 * Batches by step number. The batch of a step follows from the settings and the step alone, so a
 * run that resumes at step n sees what it would have seen. Batches of the next steps are prepared
 * in the background.
 */
export interface BatchSource extends AsyncDisposable {
  /** Different examples there are; undefined for endless sources. */
  readonly size: number | undefined;
  /** Examples that could not be read so far, and why. */
  readonly skipped: ReadonlyMap<string, string>;
  batch(step: number): Promise<Batch>;
}
