import { TintypeError } from "../util/errors.js";
import { preservingLevel, sigmaLevel } from "./forward.js";
import { sigmaTable } from "./schedule.js";
import type { SchedulerConfig } from "./schedulerConfig.js";
import {
  betaSigmas,
  exponentialSigmas,
  interpolate,
  karrasSigmas,
  logTable,
  luSigmas,
  normalRungs,
  type Rung,
  sigmaToT,
  simpleRungs,
} from "./sigmas.js";
import { roundHalfEven, spacedTimesteps } from "./timesteps.js";
import type { Level } from "./types.js";

/** Schedules that can be asked for by name; "automatic" is the model's own. */
export const SCHEDULES = [
  "automatic",
  "karras",
  "exponential",
  "beta",
  "simple",
  "normal",
  "sgm_uniform",
] as const;
export type ScheduleName = (typeof SCHEDULES)[number];

/** The noise levels of a run: falling sigmas with their timesteps, and the sigma after the last step. */
export interface Ladder {
  readonly rungs: readonly Rung[];
  readonly last: number;
}

export interface LadderOptions {
  readonly config: SchedulerConfig;
  readonly alphasCumprod: Float32Array;
  readonly steps: number;
  readonly schedule: ScheduleName;
}

export type Converted = "karras" | "exponential" | "beta" | "lu";

const CONVERT: Readonly<Record<Converted, (min: number, max: number, n: number) => number[]>> = {
  karras: karrasSigmas,
  exponential: exponentialSigmas,
  beta: betaSigmas,
  lu: luSigmas,
};

/** The conversion of sigmas that a schedule's name, or else the config, asks for. */
export function conversionOf({ config, schedule }: LadderOptions): Converted | undefined {
  if (schedule === "karras" || schedule === "exponential" || schedule === "beta") return schedule;
  if (schedule !== "automatic") return undefined;
  if (config.use_karras_sigmas) return "karras";
  if (config.use_lu_lambdas) return "lu";
  if (config.use_exponential_sigmas) return "exponential";
  return config.use_beta_sigmas ? "beta" : undefined;
}

/** The schedules of ComfyUI, which know nothing of spacing or conversion. */
function comfyRungs(table: Float32Array, o: LadderOptions): Rung[] | undefined {
  if (o.schedule === "simple") return simpleRungs(table, o.steps);
  if (o.schedule === "normal") return normalRungs(table, o.steps, false);
  if (o.schedule === "sgm_uniform") return normalRungs(table, o.steps, true);
  return undefined;
}

function convert(kind: Converted, min: number, max: number, o: LadderOptions): Rung[] {
  const low = o.config.sigma_min ?? min;
  const high = o.config.sigma_max ?? max;
  const logs = logTable(sigmaTable(o.alphasCumprod));
  return CONVERT[kind](low, high, o.steps).map((sigma) => ({ sigma, t: sigmaToT(sigma, logs) }));
}

function finalSigma(config: SchedulerConfig, smallest: number): number {
  if (config.final_sigmas_type === "zero") return 0;
  if (config.final_sigmas_type === "sigma_min") return smallest;
  throw new TintypeError(
    "unsupported",
    `scheduler config: final_sigmas_type "${config.final_sigmas_type}" is not one of zero, sigma_min.`,
  );
}

/**
 * Levels of the samplers that work in sigma space and take fractional timesteps (Euler, Heun, LMS,
 * DPM2). Source: diffusers EulerDiscreteScheduler.set_timesteps and its siblings.
 */
export function sigmaLadder(o: LadderOptions): Ladder {
  const { config } = o;
  const table = sigmaTable(o.alphasCumprod);
  const last = finalSigma(config, table[0]!);
  const comfy = comfyRungs(table, o);
  if (comfy !== undefined) return { rungs: comfy, last };
  const timesteps = spacedTimesteps({
    spacing: config.timestep_spacing,
    total: config.num_train_timesteps,
    offset: config.steps_offset,
    count: o.steps,
    style: "exact",
  });
  const rungs = timesteps.map((t) => ({ sigma: interpolate(table, t), t }));
  const kind = conversionOf(o);
  if (kind !== undefined) {
    const [max, min] = [rungs[0]!.sigma, rungs[rungs.length - 1]!.sigma];
    return { rungs: convert(kind, min, max, o), last };
  }
  if (config.interpolation_type === "log_linear") return logLinear(table, timesteps);
  return { rungs, last };
}

/** Sigmas even in log between the table's ends; the ladder stops at the smallest, never at zero. */
function logLinear(table: Float32Array, timesteps: readonly number[]): Ladder {
  const sigmas = exponentialSigmas(table[0]!, table[table.length - 1]!, timesteps.length + 1);
  const rungs = timesteps.map((t, i) => ({ sigma: sigmas[i]!, t }));
  return { rungs, last: sigmas[timesteps.length]! };
}

/** How each multistep solver of diffusers makes whole timesteps of converted sigmas, and ends. */
export type SolverFamily = "dpmsolver" | "unipc" | "deis";

function wholeTimestep(t: number, family: SolverFamily, kind: Converted, cosine: boolean): number {
  const rounds = kind === "karras" || kind === "lu";
  return rounds && !(family === "dpmsolver" && cosine) ? roundHalfEven(t) : Math.trunc(t);
}

/** Training timesteps that DPM-Solver may start from: those above lambda_min_clipped. */
function lastTimestep(config: SchedulerConfig, alphasCumprod: Float32Array): number {
  const f = Math.fround;
  const lambda = (a: number): number =>
    f(f(Math.log(f(Math.sqrt(a)))) - f(Math.log(f(Math.sqrt(f(1 - a))))));
  return alphasCumprod.filter((a) => lambda(a) >= config.lambda_min_clipped).length;
}

/**
 * Levels of the multistep solvers (DPM-Solver, UniPC, DEIS), which take whole timesteps.
 * Source: diffusers DPMSolverMultistepScheduler.set_timesteps and its siblings.
 */
export function solverLadder(o: LadderOptions, family: SolverFamily): Ladder {
  const { config } = o;
  const table = sigmaTable(o.alphasCumprod);
  const [min, max] = [table[0]!, table[table.length - 1]!];
  const end = (smallest: number): number =>
    family === "deis" ? smallest : finalSigma(config, smallest);
  const comfy = comfyRungs(table, o);
  if (comfy !== undefined) {
    return { rungs: comfy.map((r) => ({ ...r, t: roundHalfEven(r.t) })), last: end(min) };
  }
  const kind = conversionOf(o);
  if (kind !== undefined) {
    const cosine = config.beta_schedule === "squaredcos_cap_v2";
    const rungs = convert(kind, min, max, o).map((r) => ({
      ...r,
      t: wholeTimestep(r.t, family, kind, cosine),
    }));
    return { rungs, last: end(family === "dpmsolver" ? min : rungs[rungs.length - 1]!.sigma) };
  }
  const timesteps = spacedTimesteps({
    spacing: config.timestep_spacing,
    total: config.num_train_timesteps,
    last: lastTimestep(config, o.alphasCumprod),
    offset: config.steps_offset,
    count: o.steps,
    style: "solver",
  });
  return { rungs: timesteps.map((t) => ({ sigma: interpolate(table, t), t })), last: end(min) };
}

/**
 * Levels as k-diffusion makes them: its own schedule is the one that ComfyUI calls normal, the others
 * span the whole table; all end at zero. Source: k-diffusion sampling.py get_sigmas_karras and
 * external.py DiscreteSchedule.get_sigmas.
 */
export function kLadder(o: LadderOptions): Ladder {
  const table = sigmaTable(o.alphasCumprod);
  const comfy = comfyRungs(table, o);
  if (comfy !== undefined) return { rungs: comfy, last: 0 };
  const kind = conversionOf(o);
  const rungs =
    kind === undefined
      ? normalRungs(table, o.steps, false)
      : convert(kind, table[0]!, table[table.length - 1]!, o);
  return { rungs, last: 0 };
}

/** The ladder in sigma space: alpha 1, fractional timesteps. */
export function sigmaLevels(ladder: Ladder): Level[] {
  return [...ladder.rungs.map((r) => sigmaLevel(r.t, r.sigma)), sigmaLevel(0, ladder.last)];
}

/** The ladder in the variance preserving scale. */
export function preservingLevels(ladder: Ladder): Level[] {
  const f = Math.fround;
  const levels = ladder.rungs.map((r) => preservingLevel(r.t, f(r.sigma)));
  return [...levels, preservingLevel(0, f(ladder.last))];
}
