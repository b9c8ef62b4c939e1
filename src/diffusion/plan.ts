import type { Tensor } from "../tensor/tensor.js";
import { counted } from "../util/counted.js";
import { TintypeError } from "../util/errors.js";
import { alphasCumprodFor, type Course } from "./course.js";
import type { ScheduleName } from "./ladder.js";
import type { PredictionType } from "./parametrization.js";
import { requireRange } from "./range.js";
import {
  resolveSampler,
  resolveSchedule,
  SAMPLERS,
  type SamplerRow,
  samplerOfFile,
} from "./registry.js";
import { fromConfig, predictionType, type SchedulerFile } from "./schedulerConfig.js";
import type { BatchNoise, Denoiser, Level, Step, StepHook } from "./types.js";

export interface SamplingRequest {
  /** The model's scheduler_config.json, or `PUBLISHED_SCHEDULER`. */
  readonly config: SchedulerFile;
  /** Any name that `resolveSampler` knows; without one the config decides. */
  readonly sampler?: string | undefined;
  /** Any name that `resolveSchedule` knows; without one that of the sampler's name, or the model's own. */
  readonly schedule?: string | undefined;
  /** Steps of a run from pure noise, in [1, num_train_timesteps]. */
  readonly steps: number;
  /** Share of the steps that image to image takes, in (0, 1]; 1 by default. */
  readonly strength?: number | undefined;
  /** Noise of DDIM, from 0 (none, the default) to 1; the other samplers have no such setting. */
  readonly eta?: number | undefined;
  /** What the network predicts, where something else than the config decides. */
  readonly prediction?: PredictionType | undefined;
  /** Whether an inpainting pipeline runs the plan: see `fromConfig`. */
  readonly inpaint?: boolean | undefined;
}

export interface RunOptions {
  /** One source per picture of the batch. */
  readonly noise: BatchNoise;
  /** May put something else in place of x after each move: see `StepHook`. */
  readonly afterStep?: StepHook | undefined;
}

/** A sampler with everything about it decided but the network and the noise. */
export interface SamplingPlan {
  /** Tintype's name of the sampler. */
  readonly sampler: string;
  readonly label: string;
  readonly schedule: ScheduleName;
  readonly prediction: PredictionType;
  readonly eta: number;
  /** The level that each step begins at, in the scale that x is kept in. */
  readonly levels: readonly Level[];
  /** Steps that `run` yields: one per network call, but two calls for heun, dpm2 and their like. */
  readonly count: number;
  /** From pure noise, x is noise times this. */
  readonly initialNoise: number;
  /** Image to image and inpainting begin with `addNoise(x0, noise, start)`. */
  readonly start: Level;
  /** Takes the steps. The last x is the latents, whichever scale the sampler works in. */
  readonly run: (denoise: Denoiser, x: Tensor, options: RunOptions) => AsyncGenerator<Step>;
}

/** How many of the first steps `strength` leaves out. Source: diffusers get_timesteps. */
function firstStep(steps: number, strength: number): number {
  requireRange("strength", strength, 0, 1);
  return steps - Math.min(Math.trunc(steps * strength), steps);
}

/**
 * Throws "bad-argument" where no step is left. `begin` counts steps, of which pndm has more than it
 * was asked for: image to image takes those that remain, as in diffusers; inpainting refuses there.
 */
function requireSteps(begin: number, total: number, o: SamplingRequest): void {
  if (begin < (o.inpaint ? Math.min(o.steps, total) : total)) return;
  throw new TintypeError(
    "bad-argument",
    `strength ${o.strength} of ${counted(o.steps, "step")} leaves no step to take: raise one of them.`,
  );
}

/** The schedule, if this sampler has a choice of one. */
function scheduleFor(row: SamplerRow, name: ScheduleName): ScheduleName {
  if (row.space === "sigma" || name === "automatic") return name;
  const able = SAMPLERS.filter((sampler) => sampler.space === "sigma").map((s) => s.name);
  throw new TintypeError(
    "bad-argument",
    `${row.name} runs on the model's own timesteps and takes no schedule "${name}". ` +
      `Samplers that do: ${able.join(", ")}.`,
  );
}

/** The generator with the index of the current step written into every level the network is told. */
async function* numbered(
  course: Course,
  denoise: Denoiser,
  x: Tensor,
  o: RunOptions,
  begin: number,
) {
  let step = 0;
  const told: Denoiser = (y, level) => denoise(y, { ...level, step });
  const { noise, afterStep } = o;
  for await (const done of course.run(told, x, { begin, noise, afterStep })) {
    yield done;
    step++;
  }
}

/**
 * Decides how to sample: the numbers that diffusers' scheduler would have after
 * `from_config(pipe.scheduler.config)` and `set_timesteps`, or k-diffusion's for the samplers that
 * only it has. Throws "bad-argument" for unknown names and values out of range, "unsupported" for
 * configs that ask for what Tintype does not do.
 */
export function planSampling(request: SamplingRequest): SamplingPlan {
  const { config: file, steps, strength = 1, eta = 0, inpaint = false } = request;
  const { row, schedule: named } = chosen(request);
  const schedule = scheduleFor(
    row,
    request.schedule === undefined ? (named ?? "automatic") : resolveSchedule(request.schedule),
  );
  const own = request.sampler === undefined && row.className === file.className;
  const config = fromConfig(file, { className: own ? undefined : row.className, inpaint });
  const max = config.num_train_timesteps;
  if (!Number.isInteger(steps)) {
    throw new TintypeError("bad-argument", `steps: expected a whole number, got ${steps}.`);
  }
  requireRange("steps", steps, 1, max, " The model was trained on that many timesteps.");
  requireRange("eta", eta, 0, 1);
  const prediction = request.prediction ?? predictionType(config);
  if (row.noSample && prediction === "sample") {
    throw new TintypeError(
      "unsupported",
      `${row.name} does not work with networks that predict x0.`,
    );
  }
  const begin = firstStep(steps, strength);
  const alphasCumprod = alphasCumprodFor(config, row.space === "sigma");
  const course = row.course({ config, alphasCumprod, steps, schedule, prediction, eta });
  requireSteps(begin, course.levels.length, request);
  if (prediction === "epsilon" && course.levels.some((level) => level.alpha === 0)) {
    throw new TintypeError(
      "unsupported",
      `${file.name}: with zero terminal SNR the first level holds noise alone, from which a network ` +
        "that predicts noise cannot tell a picture: use the prediction type v.",
    );
  }
  return {
    sampler: row.name,
    label: row.label,
    schedule,
    prediction,
    eta,
    levels: course.levels.slice(begin),
    count: course.levels.length - begin,
    initialNoise: course.initialNoise,
    start: course.levels[begin]!,
    run: (denoise, x, options) => numbered(course, denoise, x, options, begin),
  };
}

function chosen({ sampler, config }: SamplingRequest): {
  row: SamplerRow;
  schedule?: ScheduleName;
} {
  if (sampler === undefined) return { row: samplerOfFile(config) };
  // The class that is both DPM++ 2M and its SDE form leaves the choice to the config.
  if (sampler !== "DPMSolverMultistepScheduler") return resolveSampler(sampler);
  return { row: samplerOfFile({ ...config, className: sampler }) };
}
