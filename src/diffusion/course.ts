import type { Tensor } from "../tensor/tensor.js";
import { TintypeError } from "../util/errors.js";
import { levelOf, sigmaLevel } from "./forward.js";
import {
  conversionOf,
  kLadder,
  type LadderOptions,
  preservingLevels,
  type SolverFamily,
  sigmaLadder,
  sigmaLevels,
  solverLadder,
} from "./ladder.js";
import { clip, dynamicThreshold, type PredictionType } from "./parametrization.js";
import { ancestralStep } from "./samplers/arithmetic.js";
import { ddim } from "./samplers/ddim.js";
import { type DdpmVariance, ddpm } from "./samplers/ddpm.js";
import { deis } from "./samplers/deis.js";
import { dpm2 } from "./samplers/dpm2.js";
import { dpm2Ancestral } from "./samplers/dpm2Ancestral.js";
import { type DpmSolverAlgorithm, dpmSolver } from "./samplers/dpmSolver.js";
import { euler } from "./samplers/euler.js";
import { eulerAncestral } from "./samplers/eulerAncestral.js";
import { heun } from "./samplers/heun.js";
import { lcm } from "./samplers/lcm.js";
import { lms } from "./samplers/lms.js";
import { pndm, pndmTimesteps } from "./samplers/pndm.js";
import { unipc } from "./samplers/unipc.js";
import { alphasCumprodOf, betasOf, sigmaTable } from "./schedule.js";
import type { SchedulerConfig } from "./schedulerConfig.js";
import { logTable, sigmaToT } from "./sigmas.js";
import { roundHalfEven, spacedTimesteps } from "./timesteps.js";
import type { BatchNoise, Denoiser, KSampler, Level, Step, StepHook } from "./types.js";

/** What a sampler's course is laid out from. */
export interface CourseOptions extends LadderOptions {
  readonly prediction: PredictionType;
  readonly eta: number;
}

export interface CourseRun {
  /** Index of the step to begin with. */
  readonly begin: number;
  readonly noise: BatchNoise;
  readonly afterStep: StepHook | undefined;
}

/** A sampler laid out for one schedule: where its steps begin, and how to take them. */
export interface Course {
  /** The level that each step begins at, in the scale that the sampler keeps x in. */
  readonly levels: readonly Level[];
  /** Pure noise times this is where the first step begins. */
  readonly initialNoise: number;
  readonly run: (denoise: Denoiser, x: Tensor, options: CourseRun) => AsyncGenerator<Step>;
}

const f = Math.fround;

function unsupported(key: string, value: unknown, choices: string): TintypeError {
  const what = `${key} ${JSON.stringify(value)}`;
  return new TintypeError("unsupported", `scheduler config: ${what} is not one of ${choices}.`);
}

/** Clipping or thresholding of x0, where the config asks for it. */
function constraintOf(config: SchedulerConfig): ((x0: Tensor) => Tensor) | undefined {
  const { dynamic_thresholding_ratio: ratio, sample_max_value: max } = config;
  if (config.thresholding) return (x0) => dynamicThreshold(x0, ratio, max);
  return config.clip_sample ? (x0) => clip(x0, config.clip_sample_range) : undefined;
}

/** Whole timesteps of the samplers that know alpha-bar alone. */
function wholeTimesteps(o: CourseOptions): number[] {
  return spacedTimesteps({
    spacing: o.config.timestep_spacing,
    total: o.config.num_train_timesteps,
    offset: o.config.steps_offset,
    count: o.steps,
    style: "rounded",
  });
}

function strideOf(o: CourseOptions): number {
  return Math.floor(o.config.num_train_timesteps / o.steps);
}

function finalAlphaCumprod(o: CourseOptions): number {
  return o.config.set_alpha_to_one ? 1 : o.alphasCumprod[0]!;
}

/** Variance preserving levels at whole timesteps; noise starts as it is. */
function alphaBarCourse(
  o: CourseOptions,
  timesteps: readonly number[],
  run: Course["run"],
): Course {
  return { levels: timesteps.map((t) => levelOf(o.alphasCumprod, t)), initialNoise: 1, run };
}

export function ddimCourse(o: CourseOptions): Course {
  const timesteps = wholeTimesteps(o);
  const shared = {
    timesteps,
    stride: strideOf(o),
    alphasCumprod: o.alphasCumprod,
    finalAlphaCumprod: finalAlphaCumprod(o),
    eta: o.eta,
    constrain: constraintOf(o.config),
  };
  return alphaBarCourse(o, timesteps, (denoise, x, run) => ddim(denoise, x, { ...shared, ...run }));
}

export function ddpmCourse(o: CourseOptions): Course {
  const kind = o.config.variance_type;
  if (kind !== "fixed_small" && kind !== "fixed_small_log" && kind !== "fixed_large") {
    throw unsupported("variance_type", kind, "fixed_small, fixed_small_log, fixed_large");
  }
  const timesteps = wholeTimesteps(o);
  const shared = {
    timesteps,
    alphasCumprod: o.alphasCumprod,
    variance: kind as DdpmVariance,
    constrain: constraintOf(o.config),
  };
  return alphaBarCourse(o, timesteps, (denoise, x, run) => ddpm(denoise, x, { ...shared, ...run }));
}

export function pndmCourse(o: CourseOptions): Course {
  if (!o.config.skip_prk_steps && o.steps < 4) {
    throw new TintypeError(
      "bad-argument",
      `pndm: this model's scheduler starts with Runge-Kutta steps (skip_prk_steps is false), ` +
        `which need at least 4 steps, got ${o.steps}.`,
    );
  }
  const stride = strideOf(o);
  const calls = pndmTimesteps(wholeTimesteps(o), stride, o.config.skip_prk_steps);
  const shared = {
    ...calls,
    stride,
    alphasCumprod: o.alphasCumprod,
    finalAlphaCumprod: finalAlphaCumprod(o),
    prediction: o.prediction,
  };
  return alphaBarCourse(o, calls.timesteps, (denoise, x, run) =>
    pndm(denoise, x, { ...shared, ...run }),
  );
}

/** A skipping walk through the timesteps that a consistency model was distilled on. */
function lcmTimesteps(o: CourseOptions): number[] {
  const { num_train_timesteps: total, original_inference_steps: original } = o.config;
  if (o.steps > original) {
    throw new TintypeError(
      "bad-argument",
      `lcm: expected at most ${original} steps (original_inference_steps), got ${o.steps}.`,
    );
  }
  const stride = Math.floor(total / original);
  return Array.from({ length: o.steps }, (_, i) => {
    return (original - Math.floor(i * (original / o.steps))) * stride - 1;
  });
}

export function lcmCourse(o: CourseOptions): Course {
  const timesteps = lcmTimesteps(o);
  const shared = {
    timesteps,
    alphasCumprod: o.alphasCumprod,
    timestepScaling: o.config.timestep_scaling,
    constrain: constraintOf(o.config),
  };
  return alphaBarCourse(o, timesteps, (denoise, x, run) => lcm(denoise, x, { ...shared, ...run }));
}

/** Sigma space: noise starts at the largest sigma, with the spacing "leading" at its VE norm. */
function sigmaCourse(o: CourseOptions, levels: readonly Level[], run: Course["run"]): Course {
  const max = Math.max(...levels.map((level) => level.sigma));
  const leading = o.config.timestep_spacing === "leading";
  const initialNoise = leading ? f(Math.sqrt(f(f(max * max) + 1))) : max;
  return { levels: levels.slice(0, -1), initialNoise, run };
}

/** Timesteps of v-prediction models that were trained on continuous noise: a quarter of log sigma. */
function continuous(levels: readonly Level[]): Level[] {
  return levels.map((level) => ({ ...level, t: f(0.25 * f(Math.log(level.sigma))) }));
}

export function eulerCourse(o: CourseOptions): Course {
  const ladder = sigmaLevels(sigmaLadder(o));
  const isContinuous = o.config.timestep_type === "continuous" && o.prediction === "v_prediction";
  const levels = isContinuous ? continuous(ladder) : ladder;
  return sigmaCourse(o, levels, (denoise, x, run) => euler(denoise, x, levels, run));
}

export function eulerAncestralCourse(o: CourseOptions): Course {
  const levels = sigmaLevels(sigmaLadder(o));
  return sigmaCourse(o, levels, (denoise, x, run) => eulerAncestral(denoise, x, levels, run));
}

export function heunCourse(o: CourseOptions): Course {
  const levels = sigmaLevels(sigmaLadder(o));
  const constrain = constraintOf(o.config);
  return sigmaCourse(o, levels, (denoise, x, run) =>
    heun(denoise, x, levels, { ...run, constrain }),
  );
}

export function lmsCourse(o: CourseOptions): Course {
  // diffusers' LMS takes the ends of a Karras schedule from the timesteps, whatever the config says.
  const karras = conversionOf(o) === "karras";
  const config = karras ? { ...o.config, sigma_min: null, sigma_max: null } : o.config;
  const levels = sigmaLevels(sigmaLadder({ ...o, config }));
  return sigmaCourse(o, levels, (denoise, x, run) => lms(denoise, x, levels, run));
}

/** Halfway from one sigma to a smaller one in log sigma, in float32. */
function middleSigma(from: number, to: number): number {
  const [end, start] = [f(Math.log(from)), f(Math.log(to))];
  return f(Math.exp(f(end - f(f(end - start) * 0.5))));
}

/** Levels of the two DPM2 samplers, whose Karras timesteps are whole, and the points between. */
function dpm2Levels(o: CourseOptions, reach: (from: number, to: number) => number) {
  const ladder = sigmaLadder(o);
  const karras = conversionOf(o) === "karras";
  const rungs = ladder.rungs.map((r) => (karras ? { ...r, t: roundHalfEven(r.t) } : r));
  const levels = sigmaLevels({ ...ladder, rungs });
  const logs = logTable(sigmaTable(o.alphasCumprod));
  const middles = levels.slice(0, -2).map((level, i) => {
    const sigma = reach(level.sigma, levels[i + 1]!.sigma);
    return sigmaLevel(sigmaToT(sigma, logs, f), sigma);
  });
  return { levels, middles };
}

export function dpm2Course(o: CourseOptions): Course {
  const { levels, middles } = dpm2Levels(o, (from, to) => middleSigma(from, to));
  return sigmaCourse(o, levels, (denoise, x, run) => dpm2(denoise, x, levels, middles, run));
}

export function dpm2AncestralCourse(o: CourseOptions): Course {
  const { levels, middles } = dpm2Levels(o, (from, to) => {
    // diffusers interpolates the other way round here: from this level to the point fallen to.
    return middleSigma(ancestralStep(from, to).down, from);
  });
  return sigmaCourse(o, levels, (denoise, x, run) =>
    dpm2Ancestral(denoise, x, levels, middles, run),
  );
}

/** Multistep solvers in the variance preserving scale. */
function solverCourse(levels: readonly Level[], run: Course["run"]): Course {
  return { levels: levels.slice(0, -1), initialNoise: 1, run };
}

function solverLevels(o: CourseOptions, family: SolverFamily): Level[] {
  if (o.config.use_flow_sigmas || o.config.use_dynamic_shifting) {
    throw new TintypeError(
      "unsupported",
      "scheduler config: use_flow_sigmas and use_dynamic_shifting are for flow matching models, " +
        "which Tintype does not run.",
    );
  }
  const order = o.config.solver_order;
  if (order !== 1 && order !== 2 && order !== 3)
    throw unsupported("solver_order", order, "1, 2, 3");
  return preservingLevels(solverLadder(o, family));
}

const ALGORITHMS = ["dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"] as const;

/** `sde` says which of the two names was asked for; the rest of the algorithm is the config's. */
function algorithmOf(config: SchedulerConfig, sde: boolean): DpmSolverAlgorithm {
  const given = config.algorithm_type === "deis" ? "dpmsolver++" : config.algorithm_type;
  const base = given.startsWith("sde-") ? given.slice(4) : given;
  const algorithm = ALGORITHMS.find((a) => a === (sde ? `sde-${base}` : base));
  if (algorithm === undefined) {
    throw unsupported("algorithm_type", config.algorithm_type, ALGORITHMS.join(", "));
  }
  if (!algorithm.endsWith("++") && config.final_sigmas_type === "zero") {
    throw new TintypeError(
      "unsupported",
      `scheduler config: algorithm_type "${algorithm}" cannot end at zero noise: ` +
        `set final_sigmas_type to "sigma_min", or algorithm_type to "${algorithm}++".`,
    );
  }
  return algorithm;
}

export function dpmSolverCourse(o: CourseOptions, sde: boolean): Course {
  const { config } = o;
  const algorithm = algorithmOf(config, sde);
  if (algorithm === "sde-dpmsolver" && config.solver_order > 2) {
    throw unsupported("solver_order of sde-dpmsolver", config.solver_order, "1, 2");
  }
  if (config.variance_type?.startsWith("learned")) {
    throw unsupported("variance_type", config.variance_type, "fixed_small, fixed_large, null");
  }
  const levels = solverLevels(o, "dpmsolver");
  const shared = {
    algorithm,
    form: config.solver_type === "heun" ? ("heun" as const) : ("midpoint" as const),
    order: config.solver_order,
    lowerOrderFinal: config.lower_order_final,
    firstOrderFinal: config.euler_at_final || config.final_sigmas_type === "zero",
    constrain: constraintOf(config),
  };
  return solverCourse(levels, (denoise, x, run) =>
    dpmSolver(denoise, x, levels, { ...shared, ...run }),
  );
}

export function unipcCourse(o: CourseOptions): Course {
  const { config } = o;
  if (config.solver_p !== null) throw unsupported("solver_p", config.solver_p, "null");
  const levels = solverLevels(o, "unipc");
  const shared = {
    order: config.solver_order,
    form: config.solver_type === "bh1" ? ("bh1" as const) : ("bh2" as const),
    predictX0: config.predict_x0,
    lowerOrderFinal: config.lower_order_final,
    uncorrected: config.disable_corrector,
    constrain: config.predict_x0 ? constraintOf(config) : undefined,
  };
  return solverCourse(levels, (denoise, x, run) =>
    unipc(denoise, x, levels, { ...shared, ...run }),
  );
}

export function deisCourse(o: CourseOptions): Course {
  const levels = solverLevels(o, "deis");
  const shared = {
    order: o.config.solver_order,
    lowerOrderFinal: o.config.lower_order_final,
    constrain: constraintOf(o.config),
  };
  return solverCourse(levels, (denoise, x, run) => deis(denoise, x, levels, { ...shared, ...run }));
}

/** A sampler of k-diffusion, on k-diffusion's schedules. */
export function kCourse(o: CourseOptions, sampler: KSampler): Course {
  const levels = sigmaLevels(kLadder(o));
  const logs = logTable(sigmaTable(o.alphasCumprod));
  const levelAt = (sigma: number): Level => sigmaLevel(sigmaToT(sigma, logs), sigma);
  return {
    levels: levels.slice(0, -1),
    initialNoise: levels[0]!.sigma,
    run: (denoise, x, { begin, noise, afterStep }) =>
      sampler(denoise, x, levels.slice(begin), { noise, levelAt, afterStep }),
  };
}

/**
 * alpha-bar of a config's forward process. Samplers that divide by alpha are given a last level just
 * above zero (2^-24) where the config rescales to zero terminal SNR, as in diffusers.
 */
export function alphasCumprodFor(config: SchedulerConfig, dividesByAlpha: boolean): Float32Array {
  const alphasCumprod = alphasCumprodOf(betasOf(config));
  if (config.rescale_betas_zero_snr && dividesByAlpha)
    alphasCumprod[alphasCumprod.length - 1] = 2 ** -24;
  return alphasCumprod;
}
