import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { map, scale } from "../../tensor/elementwise.js";
import { type NoiseSource, randnBatch, torchCpuNoise } from "../../tensor/random.js";
import { full, type Tensor } from "../../tensor/tensor.js";
import type { Denoiser, KSampler, KSamplerOptions, Level, Step } from "../types.js";
import { dpmpp2sA } from "./dpmpp2sA.js";
import { dpmpp3mSde } from "./dpmpp3mSde.js";
import { dpmppSde } from "./dpmppSde.js";

/** Made by scripts/golden/kdiffusion.py, which describes the toy denoiser and the tolerances. */
interface Case {
  sampler: "dpmpp_sde" | "dpmpp_2s_ancestral" | "dpmpp_3m_sde";
  schedule: string;
  options: { eta?: number; s_noise?: number; r?: number };
  sigmas: string;
  first: string;
  after: string[];
  queries: string;
}
const golden: { seed: number; shape: number[]; cases: Case[] } = JSON.parse(
  readFileSync(new URL("../../../test/golden/kdiffusion/samplers.json", import.meta.url), "utf8"),
);

const SAMPLERS = {
  dpmpp_sde: dpmppSde,
  dpmpp_2s_ancestral: dpmpp2sA,
  dpmpp_3m_sde: dpmpp3mSde,
} satisfies Record<Case["sampler"], KSampler>;

/** A level whose t alone tells the sigma, as a network only sees t. */
const levelAt = (sigma: number): Level => ({ t: 1000 - sigma, alpha: 1, sigma });

const toy: Denoiser = async (x, { t }) => {
  const s = Math.fround(1000 - t);
  return map(x, (v) => v / (1 + s * s) + v / (2 + 2 * v * v));
};

function floats(base64: string): number[] {
  const bytes = Buffer.from(base64, "base64");
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
}

function distance(a: ArrayLike<number>, b: readonly number[]): number {
  const differences = b.map((x, i) => Math.abs(x - a[i]!));
  return Math.max(0, ...differences) / (Math.max(0, ...b.map(Math.abs)) || 1);
}

async function collect(steps: AsyncGenerator<Step>): Promise<Step[]> {
  const out = [];
  for await (const step of steps) out.push(step);
  return out;
}

/** A source that writes down where its Brownian motion is asked. */
function watched(source: NoiseSource, queries: number[]): NoiseSource {
  return {
    ...source,
    brownian(shape, t0, t1) {
      const motion = source.brownian(shape, t0, t1);
      return (from, to) => {
        queries.push(from, to);
        return motion(from, to);
      };
    },
  };
}

const named = golden.cases.map((c) => ({
  name: `${c.sampler}, ${c.schedule}, ${c.after.length} steps, ${JSON.stringify(c.options)}`,
  c,
}));

describe("the latents of k-diffusion", () => {
  it.each(named)("$name", async ({ c }) => {
    const queries: number[] = [];
    const noise = [watched(torchCpuNoise(golden.seed), queries), torchCpuNoise(golden.seed + 1)];
    const sigmas = floats(c.sigmas);
    const x = scale(randnBatch(noise, golden.shape), sigmas[0]!);
    expect([...x.data]).toEqual(floats(c.first));

    const { s_noise: sNoise, ...rest } = c.options;
    const sampler = SAMPLERS[c.sampler];
    const options = { noise, levelAt, sNoise, ...rest };
    const steps = await collect(sampler(toy, x, sigmas.map(levelAt), options));

    const asked = floats(c.queries);
    expect(queries).toHaveLength(asked.length);
    expect(distance(queries, asked)).toBeLessThan(1e-6);
    // Where the reference's logarithm is off by the last bit, its noise may be that of a
    // neighbouring sigma.
    const sameNoise = asked.every((sigma, i) => sigma.toFixed(6) === queries[i]!.toFixed(6));
    const errors = steps.map((step, i) => distance(step.x.data, floats(c.after[i]!)));
    expect(errors).toHaveLength(c.after.length);
    // Down to a hundredth at once, the reference's to^2 - up^2 loses all but two digits in float32.
    const cancels = c.sampler === "dpmpp_2s_ancestral" && sigmas[0]! > 100 * sigmas[1]!;
    const exact = sameNoise && !(cancels && sigmas[1]! > 0);
    expect(Math.max(...errors)).toBeLessThan(exact ? 1e-5 : 1e-3);
  });
});

describe.each(Object.entries(SAMPLERS))("%s", (name, sampler: KSampler) => {
  const shape = [2, 1, 4, 4];
  const sigmas = [10, 4, 1.5, 0.4, 0];
  const options = (): KSamplerOptions => ({ noise: [torchCpuNoise(1), torchCpuNoise(2)], levelAt });
  const start = (): Tensor => scale(randnBatch(options().noise, shape), 10);

  it("ends on the picture when the denoiser knows it, and says where it is", async () => {
    const truth = full(shape, 0.25);
    const levels = sigmas.map(levelAt);
    const steps = await collect(sampler(async () => truth, start(), levels, options()));
    expect(steps.at(-1)!.x).toEqual(truth);
    expect(steps.map(({ i, count, level }) => [i, count, level.sigma])).toEqual(
      [10, 4, 1.5, 0.4].map((sigma, i) => [i, 4, sigma]),
    );
  });

  it("takes one step, which is the denoised picture", async () => {
    const [step, ...more] = await collect(sampler(toy, start(), [10, 0].map(levelAt), options()));
    expect(more).toEqual([]);
    expect(step!.x).toEqual(await toy(start(), levelAt(10)));
  });

  it("draws each picture's noise from its own source", async () => {
    const levels = sigmas.map(levelAt);
    const both = await collect(sampler(toy, start(), levels, options()));
    const alone = await collect(
      sampler(toy, scale(randnBatch([torchCpuNoise(2)], [1, 1, 4, 4]), 10), levels, {
        noise: [torchCpuNoise(2)],
        levelAt,
      }),
    );
    // A Brownian path hangs on the seed alone; ancestral draws go on where the source stopped,
    // which is its start here.
    expect(both[2]!.x.data.slice(16)).toEqual(alone[2]!.x.data);
  });

  it("shows every move of x to the hook, and goes on with what it returns", async () => {
    const seen: Level[] = [];
    const levels = sigmas.map(levelAt);
    const run = sampler(toy, start(), levels, {
      ...options(),
      afterStep(x, next) {
        seen.push(next);
        return next.sigma === 0 ? full(x.shape, 7) : x;
      },
    });
    const steps = await collect(run);
    expect(steps.at(-1)!.x).toEqual(full(shape, 7));
    expect(seen.filter((level) => levels.includes(level))).toEqual(levels.slice(1));
    expect(seen).toHaveLength(name === "dpmpp_3m_sde" ? 4 : 7);
  });
});
