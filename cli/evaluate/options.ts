import type { DEVICES, DTYPES } from "../generate/options.js";

/** Options of `tintype evaluate`, as commander parses them; undefined where not given. */
export interface EvaluateOptions {
  readonly model?: string;
  readonly judge?: string;
  readonly prompts: number;
  readonly seed: bigint;
  readonly steps?: number;
  readonly guidanceScale?: number;
  readonly sampler?: string;
  readonly batchSize: number;
  readonly out: string;
  readonly device: (typeof DEVICES)[number];
  readonly dtype: (typeof DTYPES)[number];
  readonly threads?: number;
  readonly json?: boolean;
}
