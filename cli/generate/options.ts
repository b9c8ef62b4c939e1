/** Names that --device takes. */
export const DEVICES = ["auto", "cpu", "webgpu", "cuda", "coreml", "dml", "wasm"] as const;

/** Names that --dtype takes. */
export const DTYPES = ["auto", "fp32", "fp16", "int8"] as const;

/** Steps [from, to), counted from 0. */
export interface StepRange {
  readonly from: number;
  readonly to: number;
}

/** When the autoencoder works in tiles. */
export const TILINGS = ["auto", "on", "off"] as const;

/** Options of `tintype generate`, as commander parses them; undefined where not given. */
export interface GenerateOptions {
  readonly model?: string;
  readonly config?: string;
  readonly vae?: string;
  readonly variant?: string;
  readonly prediction: "auto" | "eps" | "v";
  readonly negativePrompt?: string;
  readonly steps?: number;
  readonly cfgScale?: number;
  readonly guidanceSteps?: StepRange;
  readonly sampler?: string;
  readonly schedule?: string;
  readonly eta: number;
  readonly seed?: bigint;
  readonly rng: "cpu" | "cuda";
  readonly width?: number;
  readonly height?: number;
  readonly batchSize: number;
  readonly batchCount: number;
  readonly initImage?: string;
  readonly mask?: string;
  readonly strength?: number;
  readonly device: (typeof DEVICES)[number];
  readonly dtype: (typeof DTYPES)[number];
  readonly threads?: number;
  readonly lowMemory?: boolean;
  readonly deepCache: number;
  readonly deepCacheBranch: number;
  readonly deepCachePower: number;
  readonly mergeTokens: number;
  readonly vaeTiling: (typeof TILINGS)[number];
  readonly vaeTile?: number;
  readonly vaeOverlap?: number;
  readonly output?: string;
  readonly json?: boolean;
}
