import * as v from "valibot";
import type { WeightDType } from "../checkpoints/index.js";
import type { EmaSpec, OptimizerSpec, ScheduleSpec } from "../optim/index.js";
import { type ConfigSchema, oneOf, real, text, whole } from "./schema.js";

export {
  type ConfigSchema,
  oneOf,
  parseConfig,
  type ResolvedConfig,
  real,
  resolveConfig,
  text,
  whole,
} from "./schema.js";

/*
 * Pieces that the settings of every kind of training share. A kind's schema is
 * `v.strictObject({ ...runEntries, data: ..., ... })`.
 */

/** The learning rate: it rises to `peak`, then follows `schedule`. */
export interface LearningRateConfig {
  readonly peak: number;
  /** Steps on which it rises. */
  readonly warmup: number;
  /** What follows: level, or falling to 0 at the last step along a line or half a cosine. */
  readonly schedule: ScheduleSpec["kind"];
}

/** How parameters change from step to step. */
export interface LearningConfig {
  readonly optimizer: OptimizerSpec;
  readonly learningRate: LearningRateConfig;
  /** Largest global norm of the gradients; null: no clipping. */
  readonly clip: number | null;
  /** The average that samples and the product are made with; null: none. */
  readonly ema: Required<EmaSpec> | null;
}

/** When checkpoints are written, and how many stay. */
export interface CheckpointsConfig {
  /** Steps between two. */
  readonly every: number;
  /** The last so many are kept. */
  readonly keep: number;
}

/** When sample pictures are made, and of what. */
export interface SamplesConfig {
  /** Steps between two grids; 0: none. */
  readonly every: number;
  /** Prompts of the pictures; a kind of training without prompts takes pictures of its data. */
  readonly prompts: readonly string[];
  /** A picture of each prompt for each seed. */
  readonly seeds: readonly number[];
}

/** What the loop around every training needs to know. */
export interface RunConfig {
  /** Optimizer steps in all. */
  readonly steps: number;
  /** All randomness follows from it. */
  readonly seed: number;
  readonly checkpoints: CheckpointsConfig;
  readonly samples: SamplesConfig;
  /** The run stops when the loss is so many times the running median of its magnitude; 0: never. */
  readonly explode: number;
  /** CPU threads; undefined: all physical cores. */
  readonly threads?: number | undefined;
  /** Whether idle threads wait by spinning. */
  readonly spinning: boolean;
}

/** `learningRate`; `peak` stands for a missing one. */
export function learningRateSchema(peak: number): ConfigSchema<LearningRateConfig> {
  return v.optional(
    v.strictObject({
      peak: v.optional(real(0, 1, { above: true }), peak),
      warmup: v.optional(whole(0), 0),
      schedule: v.optional(oneOf(["constant", "linear", "cosine"]), "constant"),
    }),
    {},
  );
}

/** What `learningRate` says for a run of so many steps. */
export function scheduleOf(config: LearningRateConfig, steps: number): ScheduleSpec {
  const { peak: learningRate, warmup, schedule: kind } = config;
  if (kind === "constant") return { kind, learningRate, warmup };
  return { kind, learningRate, warmup, steps };
}

const share = real(0, 1);
const decay = (by: number) => v.optional(real(0), by);
const betas = (by: readonly [number, number]) => v.optional(v.strictTuple([share, share]), [...by]);
const epsilon = (by: number) => v.optional(real(0, 1, { above: true }), by);

type Kind = OptimizerSpec["kind"];
type Betas = readonly [number, number];

/**
 * `optimizer`: of the kind that `own` is where none is named, and as `own` in what is left out; keys of
 * other kinds have PyTorch's defaults.
 */
export function optimizerSchema(
  own: OptimizerSpec = { kind: "adamw" },
): ConfigSchema<OptimizerSpec> {
  const kind = <const K extends Kind>(name: K) =>
    own.kind === name ? v.optional(v.literal(name), name) : v.literal(name);
  const defaults = <D extends object>(name: Kind, torch: D): D =>
    own.kind === name ? { ...torch, ...own } : torch;
  const adam = <const K extends "adamw" | "adam">(name: K, weightDecay: number) => {
    const by = defaults(name, { betas: [0.9, 0.999] as Betas, epsilon: 1e-8, weightDecay });
    return v.strictObject({
      kind: kind(name),
      betas: betas(by.betas),
      epsilon: epsilon(by.epsilon),
      weightDecay: decay(by.weightDecay),
    });
  };
  const sgd = defaults("sgd", { momentum: 0, nesterov: false, weightDecay: 0 });
  const lion = defaults("lion", { betas: [0.9, 0.99] as Betas, weightDecay: 0 });
  const options = [
    adam("adamw", 0.01),
    adam("adam", 0),
    v.strictObject({
      kind: kind("sgd"),
      momentum: v.optional(share, sgd.momentum),
      nesterov: v.optional(v.boolean(), sgd.nesterov),
      weightDecay: decay(sgd.weightDecay),
    }),
    v.strictObject({
      kind: kind("lion"),
      betas: betas(lion.betas),
      weightDecay: decay(lion.weightDecay),
    }),
  ] as const;
  return v.optional(v.variant("kind", options), { kind: own.kind });
}

/** `ema`: the average that samples and the product are made with; null: none. */
export function emaSchema(ema: Required<EmaSpec> | null): ConfigSchema<Required<EmaSpec> | null> {
  return v.optional(
    v.nullable(
      v.strictObject({
        decay: v.optional(real(0, 1), ema?.decay ?? 0.9999),
        warmup: v.optional(v.boolean(), ema?.warmup ?? true),
      }),
    ),
    ema,
  );
}

/** `clip`: the largest global norm of the gradients; null: no clipping. */
export function clipSchema(norm: number | null): ConfigSchema<number | null> {
  return v.optional(v.nullable(real(0, undefined, { above: true })), norm);
}

/** `dtype`: numbers that the product is written in. */
export const dtypeSchema: ConfigSchema<WeightDType> = v.optional(oneOf(["fp32", "fp16"]), "fp32");

/** `batchSize`: examples that go through the model at once. */
export function batchSizeSchema(size: number): ConfigSchema<number> {
  return v.optional(whole(1, 65_536), size);
}

/** `accumulate`: batches whose gradients make one optimizer step. */
export const accumulateSchema: ConfigSchema<number> = v.optional(whole(1, 65_536), 1);

/** The keys of `RunConfig`, for a kind's own schema. */
export const runEntries: { readonly [K in keyof Required<RunConfig>]: ConfigSchema<RunConfig[K]> } =
  {
    steps: whole(1),
    seed: v.optional(whole(0), 0),
    checkpoints: v.optional(
      v.strictObject({ every: v.optional(whole(1), 500), keep: v.optional(whole(1), 2) }),
      {},
    ),
    samples: v.optional(
      v.strictObject({
        every: v.optional(whole(0), 500),
        prompts: v.optional(v.array(v.string()), []),
        seeds: v.optional(v.array(whole(0)), [0]),
      }),
      {},
    ),
    explode: v.optional(real(0), 100),
    threads: v.optional(whole(1, 1024)),
    spinning: v.optional(v.boolean(), false),
  };

/**
 * Keys, by their path, that may differ when a run is resumed: they say how long the run goes on, what it
 * writes and what it takes, not what it computes at a step, but for rounding.
 */
export const CHANGEABLE: readonly string[] = [
  "steps",
  "checkpoints",
  "samples",
  "sampling",
  "explode",
  "recompute",
  "threads",
  "spinning",
  "dtype",
];

/** A file's or folder's path. */
export const pathSchema: ConfigSchema<string> = text("a path");
