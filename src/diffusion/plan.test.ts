import { describe, expect, it } from "vitest";
import { torchCpuNoise } from "../tensor/random.js";
import { type Tensor, tensor } from "../tensor/tensor.js";
import {
  addNoise,
  classifierFreeGuidance,
  denoiserFrom,
  PUBLISHED_SCHEDULER,
  parseSchedulerConfig,
  planSampling,
  SAMPLERS,
  type SamplingPlan,
  type SamplingRequest,
} from "./index.js";

const names = SAMPLERS.map((row) => row.name);
const shape = [2, 4, 3, 3];
/** The published file, but ending at the clean picture, and without Runge-Kutta for pndm. */
const config = {
  ...PUBLISHED_SCHEDULER,
  values: { ...PUBLISHED_SCHEDULER.values, set_alpha_to_one: true },
};

const noiseFor = (seeds: readonly number[]) => seeds.map((seed) => torchCpuNoise(seed));
const randn = (seed: number, of: readonly number[] = shape): Tensor =>
  torchCpuNoise(seed).randn(of);

function plan(request: Partial<SamplingRequest>): SamplingPlan {
  return planSampling({ config, steps: 6, ...request });
}

/** A smooth stand-in for a network that predicts noise. */
const toy = denoiserFrom(
  async (x, level) =>
    tensor(
      x.shape,
      x.data.map((v) => Math.tanh(v) * 0.8 + level.t / 5000),
    ),
  "epsilon",
);

async function finish(p: SamplingPlan, x: Tensor, seeds: readonly number[], denoise = toy) {
  let [last, count] = [x, 0];
  for await (const step of p.run(denoise, x, { noise: noiseFor(seeds) })) {
    expect(step.i).toBe(count++);
    expect(step.count).toBe(p.count);
    last = step.x;
  }
  expect(count).toBe(p.count);
  return last;
}

function pureNoise(p: SamplingPlan, x: Tensor): Tensor {
  return tensor(
    x.shape,
    x.data.map((v) => v * p.initialNoise),
  );
}

const off = (a: Tensor, b: Tensor): number =>
  a.data.reduce((m, v, i) => Math.max(m, Math.abs(v - b.data[i]!)), 0);

describe.each(names)("%s", (sampler) => {
  it.each([1, 2, 3, 7, 20])("takes %i steps, and the same ones again", async (steps) => {
    const p = plan({ sampler, steps });
    // pndm visits its second timestep twice.
    expect(p.count).toBe(sampler === "pndm" && steps > 1 ? steps + 1 : steps);
    const x = pureNoise(p, randn(1));
    const first = await finish(p, x, [5, 6]);
    expect(first.data.every(Number.isFinite)).toBe(true);
    expect((await finish(p, x, [5, 6])).data).toEqual(first.data);
  });

  it("draws every picture from its own source", async () => {
    const p = plan({ sampler, eta: 1 });
    const x = pureNoise(p, randn(1));
    const both = await finish(p, x, [5, 6]);
    const half = x.data.length / 2;
    const second = tensor([1, ...shape.slice(1)], x.data.slice(half));
    expect((await finish(p, second, [6])).data).toEqual(both.data.slice(half));
  });

  it("ends at x0 when the network always knows it", async () => {
    const x0 = randn(3);
    // Begun in the middle, diffusers' pndm visits no timestep twice and so runs a step late, and its lms
    // takes weights for slopes that it has not seen: neither has this fixed point there.
    const strengths = sampler === "pndm" || sampler === "lms" ? [1] : [1, 0.6];
    for (const strength of strengths) {
      const p = plan({ sampler, steps: 12, strength });
      const x = await finish(p, addNoise(x0, randn(4), p.start), [5, 6], async () => x0);
      // DEIS stops at the smallest trained sigma, 0.03.
      expect(off(x, x0)).toBeLessThan(sampler === "deis" ? 0.1 : 1e-4);
    }
  });

  it("lets known latents be put back after every move, at the level x is then at", async () => {
    const [x0, eps] = [randn(3), randn(4)];
    const p = plan({ sampler, steps: 5, strength: 0.8, inpaint: true });
    const levels: number[] = [];
    let last = x0;
    const afterStep = (_: Tensor, next: { alpha: number; sigma: number; t: number }): Tensor => {
      levels.push(next.sigma / next.alpha);
      return addNoise(x0, eps, next);
    };
    const noise = noiseFor([5, 6]);
    for await (const step of p.run(toy, addNoise(x0, eps, p.start), { noise, afterStep }))
      last = step.x;
    expect(last.data).toEqual(x0.data);
    expect(levels.at(-1)).toBe(0);
    expect(levels).toEqual([...levels].sort((a, b) => b - a));
    expect(levels.length).toBeGreaterThanOrEqual(p.count);
  });

  it("tells the network the step it is in", async () => {
    const p = plan({ sampler, steps: 4 });
    const steps: (number | undefined)[] = [];
    await finish(p, pureNoise(p, randn(1)), [5, 6], (x, level) => {
      steps.push(level.step);
      return toy(x, level);
    });
    expect([...new Set(steps)]).toEqual(Array.from({ length: p.count }, (_, i) => i));
  });
});

describe("schedules by name", () => {
  const able = SAMPLERS.filter((row) => row.space === "sigma").map((row) => row.name);
  const schedules = ["karras", "exponential", "beta", "simple", "normal", "sgm_uniform"];

  it.each(able)("%s runs on all of them", async (sampler) => {
    for (const schedule of schedules) {
      const p = plan({ sampler, schedule, steps: 5 });
      expect(p.schedule).toBe(schedule);
      const x = await finish(p, pureNoise(p, randn(1)), [5, 6]);
      expect([schedule, x.data.every(Number.isFinite)]).toEqual([schedule, true]);
    }
  });

  it.each([
    ["simple", 4, [999, 749, 499, 249]],
    ["normal", 4, [999, 666, 333, 0]],
    ["sgm_uniform", 3, [999, 666, 333]],
  ] as const)("%s is ComfyUI's", (schedule, steps, timesteps) => {
    for (const sampler of ["euler", "dpmpp_2m", "dpmpp_2s_a"]) {
      const { levels } = plan({ sampler, schedule, steps });
      expect(levels.map((level) => level.t)).toEqual(timesteps);
    }
  });

  it("has a k-diffusion sampler start from k-diffusion's own schedule", () => {
    const own = plan({ sampler: "dpmpp_2s_a", steps: 4 });
    expect(own.levels.map((level) => level.t)).toEqual([999, 666, 333, 0]);
    expect(own.initialNoise).toBeCloseTo(14.6146, 4);
    const { levels } = plan({ sampler: "DPM++ 2S a Karras", steps: 3 });
    expect(levels.map((level) => level.sigma)).toEqual(
      [14.614647, 1.274105, 0.029168].map((s) => expect.closeTo(s, 3)),
    );
  });

  it("is an error for samplers that live on timesteps", () => {
    expect(() => plan({ sampler: "ddim", schedule: "karras" })).toThrow(
      /^ddim runs on the model's own timesteps and takes no schedule "karras"\. Samplers that do: euler, /,
    );
    expect(plan({ sampler: "ddim", schedule: "automatic" }).schedule).toBe("automatic");
  });
});

it("takes pndm's extra call where strength leaves no other, but not when inpainting", () => {
  const request = { sampler: "pndm", strength: 0.33, steps: 3 };
  expect(plan(request).levels.map((level) => level.t)).toEqual([1]); // as diffusers
  const none = /^strength 0\.33 of 3 steps leaves no step to take/;
  expect(() => plan({ ...request, inpaint: true })).toThrow(none);
  expect(() => plan({ ...request, sampler: "heun" })).toThrow(none);
  expect(() => plan({ ...request, steps: 1 })).toThrow(/^strength 0\.33 of 1 step leaves no step/);
});

it("guides inside a range of steps only, with both answers from one call", async () => {
  const calls: string[] = [];
  const answer = (x: Tensor, k: number): Tensor =>
    tensor(
      x.shape,
      x.data.map((v) => v * k),
    );
  const network = classifierFreeGuidance(
    {
      both: async (x) => {
        calls.push("both");
        return { uncond: answer(x, 0.1), cond: answer(x, 0.2) };
      },
      cond: async (x) => {
        calls.push("cond");
        return answer(x, 0.2);
      },
    },
    { scale: 3, steps: { from: 1, to: 3 } },
  );
  const p = plan({ sampler: "heun", steps: 4 });
  await finish(p, pureNoise(p, randn(1)), [5, 6], denoiserFrom(network, "epsilon"));
  expect(calls).toEqual(["cond", "cond", "both", "both", "both", "both", "cond"]);
});

describe("bad requests", () => {
  const messageOf = (request: Partial<SamplingRequest>): string => {
    try {
      plan(request);
    } catch (error) {
      return (error as Error).message;
    }
    return "";
  };

  it.each<[Partial<SamplingRequest>, RegExp]>([
    [{ steps: 0 }, /^steps: expected 1 to 1000, got 0\./],
    [{ steps: 1e9 }, /^steps: expected 1 to 1000, got 1000000000\./],
    [{ steps: 2.5 }, /^steps: expected a whole number, got 2\.5\./],
    [{ steps: Number.NaN }, /^steps: expected a whole number, got NaN\./],
    [{ eta: Number.NaN }, /^eta: expected 0 to 1, got NaN\./],
    [{ strength: 1.5 }, /^strength: expected 0 to 1, got 1\.5\./],
    [{ strength: -0.1 }, /^strength: expected 0 to 1, got -0\.1\./],
    [{ strength: Number.NaN }, /^strength: expected 0 to 1, got NaN\./],
    [
      { sampler: "ddim", strength: 0.1, steps: 5 },
      /^strength 0\.1 of 5 steps leaves no step to take/,
    ],
    [{ sampler: "eulr" }, /^unknown sampler "eulr": did you mean "euler"\?/],
    [{ schedule: "karas" }, /^unknown schedule "karas": did you mean "karras"\?/],
    [{ sampler: "lcm", steps: 60 }, /^lcm: expected at most 50 steps/],
    [{ sampler: "ddim", steps: 1000 }, /^1000 steps do not fit into 1000 training timesteps/],
    [
      { sampler: "euler_a", prediction: "sample" },
      /^euler_a does not work with networks that predict x0/,
    ],
  ])("%j", (request, message) => {
    expect(messageOf(request)).toMatch(message);
  });

  it.each<[Record<string, unknown>, RegExp]>([
    [
      { _class_name: "EDMEulerScheduler" },
      /^file: no sampler for the scheduler class "EDMEulerScheduler"/,
    ],
    [{}, /^file: no sampler for the scheduler class "\(none named\)"/],
    [{ _class_name: "PNDMScheduler" }, /^pndm: .* need at least 4 steps, got 3/],
    [
      { _class_name: "DDIMScheduler", beta_schedule: "cubic" },
      /beta_schedule "cubic" is not one of linear/,
    ],
    [
      { _class_name: "DDIMScheduler", timestep_spacing: "odd" },
      /timestep_spacing "odd" is not one of/,
    ],
    [
      { _class_name: "DDIMScheduler", prediction_type: "flow_prediction" },
      /prediction_type "flow_pred/,
    ],
    [
      { _class_name: "DDIMScheduler", trained_betas: [0.1, 0.2] },
      /trained_betas holds 2 values, expected/,
    ],
    [
      { _class_name: "DDPMScheduler", variance_type: "learned_range" },
      /variance_type "learned_range"/,
    ],
    [{ _class_name: "UniPCMultistepScheduler", use_flow_sigmas: true }, /use_flow_sigmas/],
    [
      { _class_name: "DPMSolverMultistepScheduler", solver_order: 4 },
      /solver_order 4 is not one of 1, 2, 3/,
    ],
    [
      { _class_name: "DPMSolverMultistepScheduler", algorithm_type: "x" },
      /algorithm_type "x" is not/,
    ],
    [
      { _class_name: "DPMSolverMultistepScheduler", algorithm_type: "dpmsolver" },
      /cannot end at zero/,
    ],
    [
      { _class_name: "EulerDiscreteScheduler", final_sigmas_type: "one" },
      /final_sigmas_type "one"/,
    ],
  ])("config %j", (json, message) => {
    const file = parseSchedulerConfig("file", json);
    expect(() => planSampling({ config: file, steps: 3 })).toThrow(message);
  });
});
