import { describe, expect, it } from "vitest";
import {
  PUBLISHED_SCHEDULER,
  parseSchedulerConfig,
  planSampling,
  readSchedulerConfig,
  resolveSampler,
  resolveSchedule,
  SAMPLERS,
} from "./index.js";

describe("names of samplers", () => {
  it("has every sampler once", () => {
    expect(SAMPLERS.map((row) => row.name)).toEqual(
      (
        "ddim pndm ddpm euler euler_a heun lms dpm2 dpm2_a dpmpp_2m dpmpp_2m_sde unipc deis lcm " +
        "dpmpp_sde dpmpp_2s_a dpmpp_3m_sde"
      ).split(" "),
    );
  });

  it.each([
    // Tintype
    ["plms", "pndm", undefined],
    // ComfyUI
    ["euler_ancestral", "euler_a", undefined],
    ["dpm_2", "dpm2", undefined],
    ["dpm_2_ancestral", "dpm2_a", undefined],
    ["dpmpp_2s_ancestral", "dpmpp_2s_a", undefined],
    ["dpmpp_2m_sde_gpu", "dpmpp_2m_sde", undefined],
    ["uni_pc", "unipc", undefined],
    // A1111
    ["Euler a", "euler_a", undefined],
    ["DPM2 a", "dpm2_a", undefined],
    ["DPM2 a Karras", "dpm2_a", "karras"],
    ["LMS Karras", "lms", "karras"],
    ["DPM++ 2M Karras", "dpmpp_2m", "karras"],
    ["DPM++ 2M SDE Exponential", "dpmpp_2m_sde", "exponential"],
    ["DPM++ 3M SDE", "dpmpp_3m_sde", undefined],
    ["dpmpp_2m_karras", "dpmpp_2m", "karras"],
    ["DPM++ 2M SGM Uniform", "dpmpp_2m", "sgm_uniform"],
    ["PLMS", "pndm", undefined],
    ["UniPC", "unipc", undefined],
    // diffusers
    ["KDPM2AncestralDiscreteScheduler", "dpm2_a", undefined],
    ["DPMSolverSDEScheduler", "dpmpp_sde", undefined],
    ["DPMSolverMultistepScheduler", "dpmpp_2m", undefined],
    ["EulerDiscreteScheduler", "euler", undefined],
  ])("%s is %s", (given, name, schedule) => {
    const { row, schedule: found } = resolveSampler(given);
    expect([row.name, found]).toEqual([name, schedule]);
  });

  it("names schedules as A1111 does", () => {
    expect(["SGM Uniform", "Karras", "Automatic", "Uniform"].map(resolveSchedule)).toEqual([
      "sgm_uniform",
      "karras",
      "automatic",
      "normal",
    ]);
  });

  it("lets an explicit schedule win over the name's", () => {
    const request = { config: PUBLISHED_SCHEDULER, sampler: "DPM++ 2M Karras", steps: 3 };
    expect(planSampling(request).schedule).toBe("karras");
    expect(planSampling({ ...request, schedule: "beta" }).schedule).toBe("beta");
  });
});

describe("scheduler_config.json", () => {
  it("decides the sampler, and between both forms of DPM-Solver++", () => {
    const of = (json: unknown, sampler?: string): string =>
      planSampling({ config: parseSchedulerConfig("file", json), sampler, steps: 5 }).sampler;
    expect(of({ _class_name: "HeunDiscreteScheduler" })).toBe("heun");
    const sde = { _class_name: "DPMSolverMultistepScheduler", algorithm_type: "sde-dpmsolver++" };
    expect(of(sde)).toBe("dpmpp_2m_sde");
    expect(of(sde, "DPMSolverMultistepScheduler")).toBe("dpmpp_2m_sde");
    expect(of(sde, "dpmpp_2m")).toBe("dpmpp_2m");
    expect(of({ _class_name: "DPMSolverMultistepScheduler" })).toBe("dpmpp_2m");
  });

  it("keeps the file's keys and fills absent ones from the chosen class", () => {
    const t = (sampler: string | undefined): number[] =>
      planSampling({ config: PUBLISHED_SCHEDULER, sampler, steps: 4 }).levels.map((l) => l.t);
    expect(t("ddim")).toEqual([751, 501, 251, 1]); // leading, with the file's steps_offset
    expect(t("euler")).toEqual([999, 666, 333, 0]); // linspace
    expect(t(undefined)).toEqual([751, 501, 501, 251, 1]);
  });

  it("understands the Infinity that diffusers writes", () => {
    const text = '{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity}';
    expect(readSchedulerConfig("file", text).values.lambda_min_clipped).toBe(-Infinity);
  });

  it.each([
    ['{"a": ', /^file: not valid JSON/],
    ["[1]", /^file: expected a JSON object/],
    ['{"beta_start": "0.1"}', /^file: "beta_start" should be a number, got "0\.1"\./],
    ['{"clip_sample": 1}', /^file: "clip_sample" should be a boolean, got 1\./],
    ['{"trained_betas": [1, "2"]}', /^file: "trained_betas" should be a list/],
    ['{"num_train_timesteps": 0}', /^file: num_train_timesteps 0 is not in/],
    ['{"num_train_timesteps": 1e12}', /^file: num_train_timesteps 1000000000000 is not in/],
  ])("refuses %s", (text, message) => {
    expect(() => readSchedulerConfig("file", text)).toThrow(message);
  });
});
