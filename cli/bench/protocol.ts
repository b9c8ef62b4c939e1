import type { ErrorCode } from "../../src/util/errors.js";

/*
 * What is asked of a program under measurement: one JSON request a line on its standard input, one JSON
 * answer a line on its standard output. bench/diffusersWorker.py answers the same.
 */

/** A part of a model that can be measured by itself. */
export type WorkerPart = "text" | "step" | "decode";

/** Settings of a program for its whole life. */
export interface WorkerSettings {
  readonly model: string;
  readonly dtype: string;
  readonly device: string;
  /** undefined: the program's own choice. */
  readonly threads: number | undefined;
}

export type WorkerRequest =
  /** Loads these parts so that they can run. */
  | ({ readonly do: "load"; readonly parts: readonly WorkerPart[] } & WorkerSettings)
  /** Seconds of one guided call, of so many pictures of side x side pixels at once. */
  | { readonly do: WorkerPart; readonly side: number; readonly batch: number }
  /** Bytes that the process has held at most. */
  | { readonly do: "memory" }
  /** Makes a picture from start to file, in a fresh process. */
  | ({
      readonly do: "picture";
      readonly prompt: string;
      readonly side: number;
      readonly steps: number;
      readonly output: string;
    } & WorkerSettings);

export type WorkerAnswer =
  | { readonly value: number; readonly about?: string; readonly dtype?: string }
  /** A sentence that tells a user what is wrong. */
  | { readonly error: string; readonly code?: ErrorCode };
