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

/** Examples whose pictures have one size; training graphs are static, so each size is a program. */
export interface Bucket {
  readonly width: number;
  readonly height: number;
  /** Numbers of the examples, ascending. */
  readonly members: Uint32Array;
}

/** A finite set of examples that always look the same, so what is computed from each may be kept. */
export interface ExampleSet {
  /** Hexadecimal digest of all that the examples follow from: files, captions, settings. */
  readonly fingerprint: string;
  readonly buckets: readonly Bucket[];
  /**
   * Examples of one bucket by number. Broken ones are left out and noted in `skipped`: `numbers` are
   * those that the batch holds, which may be fewer, and none.
   */
  read(
    bucket: Bucket,
    numbers: readonly number[],
  ): Promise<Batch & { readonly numbers: readonly number[] }>;
}

/** Batches by step number; those of the next steps are prepared in the background. */
export interface Stepped<T> extends AsyncDisposable {
  /** Different examples there are; undefined for endless sources. */
  readonly size: number | undefined;
  /** Every [width, height] that a batch may have, in pixels. */
  readonly sizes: readonly (readonly [width: number, height: number])[];
  /** Steps after which every example was seen; undefined for endless sources. */
  readonly stepsPerEpoch: number | undefined;
  /** Examples that could not be read so far by name, and why, on one line. */
  readonly skipped: ReadonlyMap<string, string>;
  /** Hexadecimal digest of the files and captions that are read; undefined where none are. */
  readonly fingerprint?: string | undefined;
  /**
   * The batch of a step, counted from 0. It follows from the settings and the step alone, so a run
   * that resumes at step n sees what it would have seen.
   */
  batch(step: number): Promise<T>;
}

/** Pictures with captions. */
export interface BatchSource extends Stepped<Batch> {
  /** The examples themselves, where they are finite and nothing about them is random. */
  readonly examples?: ExampleSet | undefined;
}
