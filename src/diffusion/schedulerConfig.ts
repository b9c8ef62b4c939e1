import { parseJson } from "../util/bytes.js";
import { TintypeError } from "../util/errors.js";
import { unknownName } from "../util/nearest.js";
import type { PredictionType } from "./parametrization.js";
import type { NoiseScheduleConfig } from "./schedule.js";

/** Everything a sampler may ask of a scheduler_config.json, under the keys of that file. */
export interface SchedulerConfig extends NoiseScheduleConfig {
  readonly prediction_type: string;
  readonly timestep_spacing: string;
  readonly steps_offset: number;
  readonly clip_sample: boolean;
  readonly clip_sample_range: number;
  readonly thresholding: boolean;
  readonly dynamic_thresholding_ratio: number;
  readonly sample_max_value: number;
  readonly set_alpha_to_one: boolean;
  readonly skip_prk_steps: boolean;
  readonly variance_type: string | null;
  readonly use_karras_sigmas: boolean;
  readonly use_exponential_sigmas: boolean;
  readonly use_beta_sigmas: boolean;
  readonly use_lu_lambdas: boolean;
  readonly use_flow_sigmas: boolean;
  readonly use_dynamic_shifting: boolean;
  readonly interpolation_type: string;
  readonly timestep_type: string;
  readonly sigma_min: number | null;
  readonly sigma_max: number | null;
  readonly final_sigmas_type: string;
  readonly solver_order: number;
  readonly solver_type: string;
  readonly algorithm_type: string;
  readonly lower_order_final: boolean;
  readonly euler_at_final: boolean;
  readonly lambda_min_clipped: number;
  readonly predict_x0: boolean;
  readonly disable_corrector: readonly number[];
  readonly solver_p: unknown;
  readonly original_inference_steps: number;
  readonly timestep_scaling: number;
}

type Key = keyof SchedulerConfig;

/** What holds for a key that a class does not have, and the default of most classes that do. */
const NEUTRAL: SchedulerConfig = {
  num_train_timesteps: 1000,
  beta_start: 0.0001,
  beta_end: 0.02,
  beta_schedule: "linear",
  trained_betas: null,
  rescale_betas_zero_snr: false,
  prediction_type: "epsilon",
  timestep_spacing: "linspace",
  steps_offset: 0,
  clip_sample: false,
  clip_sample_range: 1,
  thresholding: false,
  dynamic_thresholding_ratio: 0.995,
  sample_max_value: 1,
  set_alpha_to_one: true,
  skip_prk_steps: false,
  variance_type: null,
  use_karras_sigmas: false,
  use_exponential_sigmas: false,
  use_beta_sigmas: false,
  use_lu_lambdas: false,
  use_flow_sigmas: false,
  use_dynamic_shifting: false,
  interpolation_type: "linear",
  timestep_type: "discrete",
  sigma_min: null,
  sigma_max: null,
  final_sigmas_type: "zero",
  solver_order: 2,
  solver_type: "midpoint",
  algorithm_type: "dpmsolver++",
  lower_order_final: true,
  euler_at_final: false,
  lambda_min_clipped: -Infinity,
  predict_x0: true,
  disable_corrector: [],
  solver_p: null,
  original_inference_steps: 50,
  timestep_scaling: 10,
};

/** Keys that every class has. sigma_min and sigma_max are read by classes that do not list them. */
const COMMON: readonly Key[] = [
  "num_train_timesteps",
  "beta_start",
  "beta_end",
  "beta_schedule",
  "trained_betas",
  "prediction_type",
  "timestep_spacing",
  "steps_offset",
  "sigma_min",
  "sigma_max",
];
const FLAGS: readonly Key[] = ["use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"];
const THRESHOLD: readonly Key[] = [
  "thresholding",
  "dynamic_thresholding_ratio",
  "sample_max_value",
];
const CLIP: readonly Key[] = ["clip_sample", "clip_sample_range"];
const SOLVER: readonly Key[] = [
  ...FLAGS,
  ...THRESHOLD,
  "solver_order",
  "solver_type",
  "lower_order_final",
  "use_flow_sigmas",
  "use_dynamic_shifting",
];

interface SchedulerClass {
  readonly keys: readonly Key[];
  readonly defaults: Partial<SchedulerConfig>;
}

const KARRAS_BETAS = { beta_start: 0.00085, beta_end: 0.012 } as const;
const LEADING = { timestep_spacing: "leading" } as const;

/** The classes of diffusers that Tintype has samplers for: what they read, and their defaults. */
export const SCHEDULER_CLASSES: Readonly<Record<string, SchedulerClass>> = {
  DDIMScheduler: {
    keys: [...CLIP, ...THRESHOLD, "set_alpha_to_one", "rescale_betas_zero_snr"],
    defaults: { ...LEADING, clip_sample: true },
  },
  PNDMScheduler: {
    keys: ["skip_prk_steps", "set_alpha_to_one"],
    defaults: { ...LEADING, set_alpha_to_one: false },
  },
  DDPMScheduler: {
    keys: [...CLIP, ...THRESHOLD, "variance_type", "rescale_betas_zero_snr"],
    defaults: { ...LEADING, clip_sample: true, variance_type: "fixed_small" },
  },
  EulerDiscreteScheduler: {
    keys: [
      ...FLAGS,
      "interpolation_type",
      "timestep_type",
      "rescale_betas_zero_snr",
      "final_sigmas_type",
    ],
    defaults: {},
  },
  EulerAncestralDiscreteScheduler: { keys: ["rescale_betas_zero_snr"], defaults: {} },
  HeunDiscreteScheduler: { keys: [...FLAGS, ...CLIP], defaults: KARRAS_BETAS },
  LMSDiscreteScheduler: { keys: FLAGS, defaults: {} },
  KDPM2DiscreteScheduler: { keys: FLAGS, defaults: KARRAS_BETAS },
  KDPM2AncestralDiscreteScheduler: { keys: FLAGS, defaults: KARRAS_BETAS },
  DPMSolverMultistepScheduler: {
    keys: [
      ...SOLVER,
      "algorithm_type",
      "euler_at_final",
      "use_lu_lambdas",
      "final_sigmas_type",
      "lambda_min_clipped",
      "variance_type",
      "rescale_betas_zero_snr",
    ],
    defaults: {},
  },
  UniPCMultistepScheduler: {
    keys: [
      ...SOLVER,
      "predict_x0",
      "disable_corrector",
      "solver_p",
      "final_sigmas_type",
      "rescale_betas_zero_snr",
    ],
    defaults: { solver_type: "bh2" },
  },
  DEISMultistepScheduler: {
    keys: [...SOLVER, "algorithm_type"],
    defaults: { solver_type: "logrho", algorithm_type: "deis" },
  },
  LCMScheduler: {
    keys: [
      ...CLIP,
      ...THRESHOLD,
      "original_inference_steps",
      "set_alpha_to_one",
      "timestep_scaling",
      "rescale_betas_zero_snr",
    ],
    defaults: { ...LEADING, ...KARRAS_BETAS, beta_schedule: "scaled_linear" },
  },
};

/** A scheduler_config.json: the class it names, and the keys that stand in it, as they stand. */
export interface SchedulerFile {
  /** What messages call it. */
  readonly name: string;
  readonly className: string | undefined;
  readonly values: Readonly<Partial<Record<Key, unknown>>>;
}

/**
 * The scheduler of the published Stable Diffusion 1.x folders, for files that come without one.
 * Source: stable-diffusion-v1-5 scheduler/scheduler_config.json.
 */
export const PUBLISHED_SCHEDULER: SchedulerFile = {
  name: "the published scheduler of Stable Diffusion 1.x",
  className: "PNDMScheduler",
  values: {
    beta_start: 0.00085,
    beta_end: 0.012,
    beta_schedule: "scaled_linear",
    num_train_timesteps: 1000,
    set_alpha_to_one: false,
    skip_prk_steps: true,
    steps_offset: 1,
    trained_betas: null,
    clip_sample: false,
  },
};

function isNumberList(value: unknown): boolean {
  return Array.isArray(value) && value.every((v) => typeof v === "number");
}

function fits(key: Key, value: unknown): boolean {
  const model = NEUTRAL[key];
  if (key === "solver_p") return true;
  if (key === "trained_betas") return value === null || isNumberList(value);
  if (key === "disable_corrector") return isNumberList(value);
  if (key === "sigma_min" || key === "sigma_max")
    return value === null || typeof value === "number";
  if (key === "variance_type") return value === null || typeof value === "string";
  if (typeof model === "boolean") return value === null || typeof value === "boolean";
  return typeof value === typeof model && !Number.isNaN(value);
}

function isKey(key: string): key is Key {
  return Object.hasOwn(NEUTRAL, key);
}

/** Reads the text of a scheduler_config.json; `name` is what messages call it. Throws "bad-file". */
export function readSchedulerConfig(name: string, text: string): SchedulerFile {
  return parseSchedulerConfig(name, parseJson(name, text));
}

/** A scheduler_config.json from its JSON value. Throws "bad-file" for values of the wrong type. */
export function parseSchedulerConfig(name: string, json: unknown): SchedulerFile {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new TintypeError(
      "bad-file",
      `${name}: expected a JSON object with a scheduler's settings.`,
    );
  }
  const values: Partial<Record<Key, unknown>> = {};
  for (const [key, value] of Object.entries(json)) {
    if (!isKey(key)) continue;
    if (!fits(key, value)) {
      const list = key === "trained_betas" || key === "disable_corrector";
      const expected = list ? "list of numbers" : typeof (NEUTRAL[key] ?? 0);
      throw new TintypeError(
        "bad-file",
        `${name}: "${key}" should be a ${expected}, got ${JSON.stringify(value)}.`,
      );
    }
    values[key] = value;
  }
  const count = values.num_train_timesteps ?? 1;
  if (!Number.isInteger(count) || (count as number) < 1 || (count as number) > 100_000) {
    throw new TintypeError(
      "bad-file",
      `${name}: num_train_timesteps ${count} is not in [1, 100000].`,
    );
  }
  const className = (json as { readonly _class_name?: unknown })._class_name;
  return { name, className: typeof className === "string" ? className : undefined, values };
}

/** The keys that a Stable Diffusion pipeline of diffusers corrects when it loads a scheduler. */
function corrections(inpaint: boolean): Partial<SchedulerConfig> {
  return { steps_offset: 1, ...(inpaint ? { skip_prk_steps: true } : { clip_sample: false }) };
}

export interface FromConfigOptions {
  /** The class to configure; without one, the file's own, as the pipeline has it after loading. */
  readonly className?: string | undefined;
  /** Whether an inpainting pipeline loaded the file: it skips PNDM's Runge-Kutta steps, and clips. */
  readonly inpaint?: boolean;
}

/**
 * The settings that `Class.from_config(pipe.scheduler.config)` has in diffusers after the folder was
 * loaded: a key that stands in the file is kept (steps_offset and clip_sample as the pipeline
 * corrects them), an absent one takes the default of the chosen class. Throws "unsupported" for a
 * class that Tintype has no sampler for. Source: diffusers ConfigMixin.extract_init_dict.
 */
export function fromConfig(file: SchedulerFile, options: FromConfigOptions = {}): SchedulerConfig {
  const className = options.className ?? file.className;
  const known = className !== undefined && Object.hasOwn(SCHEDULER_CLASSES, className);
  if (!known) {
    const names = Object.keys(SCHEDULER_CLASSES);
    const what = unknownName("scheduler class", className ?? "", names);
    throw new TintypeError(
      "unsupported",
      `${file.name}: ${what}. A sampler can be chosen instead.`,
    );
  }
  const { keys, defaults } = SCHEDULER_CLASSES[className]!;
  const config: Record<string, unknown> = { ...NEUTRAL, ...defaults };
  const corrected = corrections(options.inpaint ?? false);
  for (const key of [...COMMON, ...keys]) {
    const value = file.values[key];
    const own = options.className === undefined;
    if (key in corrected && (value !== undefined || own)) config[key] = corrected[key];
    else if (value !== undefined)
      config[key] = value ?? (typeof NEUTRAL[key] === "boolean" ? false : null);
  }
  return config as unknown as SchedulerConfig;
}

/** The prediction type that Stable Diffusion's networks have. Throws "unsupported" for any other. */
export function predictionType(config: SchedulerConfig): PredictionType {
  const type = config.prediction_type;
  if (type === "epsilon" || type === "v_prediction" || type === "sample") return type;
  throw new TintypeError(
    "unsupported",
    `scheduler config: prediction_type "${type}" is not one of epsilon, v_prediction, sample.`,
  );
}
