import { TintypeError } from "../util/errors.js";
import { unknownName } from "../util/nearest.js";
import {
  type Course,
  type CourseOptions,
  ddimCourse,
  ddpmCourse,
  deisCourse,
  dpm2AncestralCourse,
  dpm2Course,
  dpmSolverCourse,
  eulerAncestralCourse,
  eulerCourse,
  heunCourse,
  kCourse,
  lcmCourse,
  lmsCourse,
  pndmCourse,
  unipcCourse,
} from "./course.js";
import { SCHEDULES, type ScheduleName } from "./ladder.js";
import { dpmpp2sA } from "./samplers/dpmpp2sA.js";
import { dpmpp3mSde } from "./samplers/dpmpp3mSde.js";
import { dpmppSde } from "./samplers/dpmppSde.js";
import type { SchedulerFile } from "./schedulerConfig.js";

/** One sampler that can be asked for by name. */
export interface SamplerRow {
  readonly name: string;
  /** What people see, as the A1111 web UI writes it. */
  readonly label: string;
  readonly paper: string;
  /** Other names: ComfyUI's ids and what else is in use. Spaces, case, _ and - do not matter. */
  readonly aliases: readonly string[];
  /** The class of diffusers whose defaults fill a config for this sampler. */
  readonly className: string;
  /** "sigma": takes any schedule; "timesteps": lives on the trained timesteps alone. */
  readonly space: "sigma" | "timesteps";
  /** Whether the sampler cannot use a network that predicts x0 itself, as its class in diffusers. */
  readonly noSample?: true;
  /** Whether it draws noise after the first: a seed then decides more than the start. */
  readonly stochastic?: true;
  readonly course: (options: CourseOptions) => Course;
}

/** Every sampler. k-diffusion is the reference of the last three, diffusers of the others. */
export const SAMPLERS: readonly SamplerRow[] = [
  {
    name: "ddim",
    label: "DDIM",
    paper: "Song et al. 2021, arXiv 2010.02502",
    aliases: ["ddim_uniform"],
    className: "DDIMScheduler",
    space: "timesteps",
    course: ddimCourse,
  },
  {
    name: "pndm",
    label: "PLMS",
    paper: "Liu et al. 2022, arXiv 2202.09778",
    aliases: ["plms"],
    className: "PNDMScheduler",
    space: "timesteps",
    noSample: true,
    course: pndmCourse,
  },
  {
    name: "ddpm",
    label: "DDPM",
    paper: "Ho et al. 2020, arXiv 2006.11239",
    aliases: [],
    className: "DDPMScheduler",
    space: "timesteps",
    stochastic: true,
    course: ddpmCourse,
  },
  {
    name: "euler",
    label: "Euler",
    paper: "Karras et al. 2022, arXiv 2206.00364, algorithm 2",
    aliases: ["k_euler"],
    className: "EulerDiscreteScheduler",
    space: "sigma",
    course: eulerCourse,
  },
  {
    name: "euler_a",
    label: "Euler a",
    paper: "k-diffusion, sample_euler_ancestral",
    aliases: ["euler_ancestral", "k_euler_a"],
    className: "EulerAncestralDiscreteScheduler",
    space: "sigma",
    noSample: true,
    stochastic: true,
    course: eulerAncestralCourse,
  },
  {
    name: "heun",
    label: "Heun",
    paper: "Karras et al. 2022, arXiv 2206.00364, algorithm 1",
    aliases: ["k_heun"],
    className: "HeunDiscreteScheduler",
    space: "sigma",
    course: heunCourse,
  },
  {
    name: "lms",
    label: "LMS",
    paper: "k-diffusion, sample_lms",
    aliases: ["k_lms", "lms_discrete"],
    className: "LMSDiscreteScheduler",
    space: "sigma",
    course: lmsCourse,
  },
  {
    name: "dpm2",
    label: "DPM2",
    paper: "Lu et al. 2022, arXiv 2206.00927; Karras et al. 2022",
    aliases: ["dpm_2", "k_dpm_2"],
    className: "KDPM2DiscreteScheduler",
    space: "sigma",
    noSample: true,
    course: dpm2Course,
  },
  {
    name: "dpm2_a",
    label: "DPM2 a",
    paper: "Lu et al. 2022, arXiv 2206.00927; Karras et al. 2022",
    aliases: ["dpm_2_ancestral", "dpm2_ancestral", "k_dpm_2_a"],
    className: "KDPM2AncestralDiscreteScheduler",
    space: "sigma",
    noSample: true,
    stochastic: true,
    course: dpm2AncestralCourse,
  },
  {
    name: "dpmpp_2m",
    label: "DPM++ 2M",
    paper: "Lu et al. 2022, arXiv 2211.01095",
    aliases: ["k_dpmpp_2m", "dpmsolver++", "DPMSolverMultistepScheduler"],
    className: "DPMSolverMultistepScheduler",
    space: "sigma",
    course: (options) => dpmSolverCourse(options, false),
  },
  {
    name: "dpmpp_2m_sde",
    label: "DPM++ 2M SDE",
    paper: "Lu et al. 2022, arXiv 2211.01095",
    aliases: ["dpmpp_2m_sde_gpu", "k_dpmpp_2m_sde", "sde-dpmsolver++"],
    className: "DPMSolverMultistepScheduler",
    space: "sigma",
    stochastic: true,
    course: (options) => dpmSolverCourse(options, true),
  },
  {
    name: "unipc",
    label: "UniPC",
    paper: "Zhao et al. 2023, arXiv 2302.04867",
    aliases: ["uni_pc", "uni_pc_bh2"],
    className: "UniPCMultistepScheduler",
    space: "sigma",
    course: unipcCourse,
  },
  {
    name: "deis",
    label: "DEIS",
    paper: "Zhang and Chen 2022, arXiv 2204.13902",
    aliases: [],
    className: "DEISMultistepScheduler",
    space: "sigma",
    course: deisCourse,
  },
  {
    name: "lcm",
    label: "LCM",
    paper: "Luo et al. 2023, arXiv 2310.04378",
    aliases: [],
    className: "LCMScheduler",
    space: "timesteps",
    stochastic: true,
    course: lcmCourse,
  },
  {
    name: "dpmpp_sde",
    label: "DPM++ SDE",
    paper: "k-diffusion, sample_dpmpp_sde; Lu et al. 2022, arXiv 2211.01095",
    aliases: ["dpmpp_sde_gpu", "k_dpmpp_sde", "DPMSolverSDEScheduler"],
    className: "EulerDiscreteScheduler",
    space: "sigma",
    stochastic: true,
    course: (options) => kCourse(options, dpmppSde),
  },
  {
    name: "dpmpp_2s_a",
    label: "DPM++ 2S a",
    paper: "k-diffusion, sample_dpmpp_2s_ancestral; Lu et al. 2022, arXiv 2211.01095",
    aliases: ["dpmpp_2s_ancestral", "k_dpmpp_2s_a"],
    className: "EulerDiscreteScheduler",
    space: "sigma",
    stochastic: true,
    course: (options) => kCourse(options, dpmpp2sA),
  },
  {
    name: "dpmpp_3m_sde",
    label: "DPM++ 3M SDE",
    paper: "k-diffusion, sample_dpmpp_3m_sde",
    aliases: ["dpmpp_3m_sde_gpu", "k_dpmpp_3m_sde"],
    className: "EulerDiscreteScheduler",
    space: "sigma",
    stochastic: true,
    course: (options) => kCourse(options, dpmpp3mSde),
  },
];

/** Other names of the schedules. */
const SCHEDULE_ALIASES: Readonly<Record<string, ScheduleName>> = {
  auto: "automatic",
  default: "automatic",
  uniform: "normal",
  exp: "exponential",
};

/** "DPM++ 2M" and "dpmpp_2m" are one name. */
function canonical(name: string): string {
  return name
    .toLowerCase()
    .replaceAll("++", "pp")
    .replace(/[\s_-]+/g, "");
}

/** The schedule of that name, or undefined. */
function scheduleOf(name: string): ScheduleName | undefined {
  const wanted = canonical(name);
  return SCHEDULES.find((s) => canonical(s) === wanted) ?? SCHEDULE_ALIASES[wanted];
}

/** The schedule that a name means. Throws "bad-argument", with the nearest name, for any other. */
export function resolveSchedule(name: string): ScheduleName {
  const schedule = scheduleOf(name);
  if (schedule !== undefined) return schedule;
  throw new TintypeError("bad-argument", unknownName("schedule", name, SCHEDULES));
}

function rowOf(name: string): SamplerRow | undefined {
  const wanted = canonical(name);
  return SAMPLERS.find(({ name: own, label, aliases, className }) =>
    [own, label, ...aliases, ...(own.startsWith("dpmpp_") ? [] : [className])].some(
      (alias) => canonical(alias) === wanted,
    ),
  );
}

export interface ResolvedSampler {
  readonly row: SamplerRow;
  /** The schedule that stood in the name, as in "DPM++ 2M Karras". */
  readonly schedule?: ScheduleName;
}

/**
 * The sampler that a name means: Tintype's, ComfyUI's, A1111's with or without a schedule behind it,
 * or a class of diffusers. Throws "bad-argument", with the nearest name, for any other.
 */
export function resolveSampler(name: string): ResolvedSampler {
  const row = rowOf(name);
  if (row !== undefined) return { row };
  const words = name.trim().split(/[\s_]+/);
  for (let k = words.length - 1; k > 0; k--) {
    const schedule = scheduleOf(words.slice(k).join(" "));
    const before = rowOf(words.slice(0, k).join(" "));
    if (schedule !== undefined && before !== undefined) return { row: before, schedule };
  }
  const names = SAMPLERS.map((sampler) => sampler.name);
  throw new TintypeError("bad-argument", unknownName("sampler", name, names));
}

/**
 * The sampler that a scheduler_config.json asks for by its class. Throws "unsupported" for a class
 * that Tintype has no sampler for.
 */
export function samplerOfFile(file: SchedulerFile): SamplerRow {
  const { className, values } = file;
  if (className === "DPMSolverMultistepScheduler") {
    const sde = String(values.algorithm_type ?? "").startsWith("sde");
    return resolveSampler(sde ? "dpmpp_2m_sde" : "dpmpp_2m").row;
  }
  const row = className === undefined ? undefined : rowOf(className);
  if (row !== undefined) return row;
  const names = SAMPLERS.map((sampler) => sampler.name).join(", ");
  throw new TintypeError(
    "unsupported",
    `${file.name}: no sampler for the scheduler class "${className ?? "(none named)"}". ` +
      `Choose a sampler instead: ${names}.`,
  );
}
