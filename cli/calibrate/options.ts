import type { GenerateOptions } from "../generate/options.js";

/** Options of `tintype calibrate`, as commander parses them; undefined where not given. */
export interface CalibrateOptions
  extends Pick<GenerateOptions, "model" | "config" | "vae" | "variant" | "width" | "height"> {
  readonly prompt?: readonly string[];
  /** A file of prompts. */
  readonly prompts?: string;
  readonly steps: number;
  readonly room: number;
  readonly seed: bigint;
  readonly threads?: number;
  readonly lowMemory?: boolean;
  readonly json?: boolean;
}
