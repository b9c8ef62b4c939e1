import { describe, expect, test } from "vitest";
import { PUBLISHED_SCHEDULER } from "../diffusion/index.js";
import { mask, picture } from "../image/picture.js";
import { SD_VAE } from "../models/vae/config.js";
import { full, type Tensor, tensor } from "../tensor/tensor.js";
import { TintypeError } from "../util/errors.js";
import { DEFAULT_GUIDANCE_SCALE, DEFAULT_STEPS } from "./defaults.js";
import { imageToImage } from "./imageToImage.js";
import { inpaint } from "./inpaint.js";
import type { DiffusionModel } from "./model.js";
import type { GenerationRequest } from "./request.js";
import { finish, type Generation } from "./run.js";
import { textToImage } from "./textToImage.js";

/** What a fake model was asked, in order. */
interface Asked {
  readonly prompts: string[][];
  /** Batch of each call of the UNet. */
  readonly batches: number[];
  readonly timesteps: number[];
  decoded: number;
  encoded: number;
  /** How often the UNet was to be loaded beforehand. */
  prepared: number;
}

/** A model of plain arithmetic: the UNet answers with a little of x and of the prompt's length. */
function fakeModel(inChannels = 4): DiffusionModel & { readonly asked: Asked } {
  const asked: Asked = {
    prompts: [],
    batches: [],
    timesteps: [],
    decoded: 0,
    encoded: 0,
    prepared: 0,
  };
  const model = {
    asked,
    name: "fake",
    unet: { inChannels },
    vae: SD_VAE,
    scheduler: PUBLISHED_SCHEDULER,
    prediction: "epsilon",
    factor: 8,
    nativeSize: 32,
    defaults: { steps: DEFAULT_STEPS, guidanceScale: DEFAULT_GUIDANCE_SCALE },
    checkMemory() {},
    async encodePrompts(prompts: readonly string[]) {
      asked.prompts.push([...prompts]);
      expect(asked.prepared).toBe(asked.prompts.length); // it loads meanwhile
      const hidden = tensor(
        [prompts.length, 1, 1],
        Float32Array.from(prompts, (p) => p.length),
      );
      return { hidden, truncated: prompts.map((p) => (p.length > 5 ? p.slice(5) : undefined)) };
    },
    async predict(x: Tensor, t: number, context: Tensor) {
      const [pictures, channels, h, w] = x.shape as [number, number, number, number];
      const batch = context.shape[0]!;
      asked.batches.push(batch);
      asked.timesteps.push(t);
      expect([pictures, 2 * pictures]).toContain(batch);
      const area = 4 * h * w;
      const out = new Float32Array(batch * area);
      for (let i = 0; i < out.length; i++) {
        const k = Math.floor(i / area);
        const at = (k % pictures) * channels * h * w + (i % area);
        out[i] = 0.3 * x.data[at]! + 0.01 * context.data[k]!;
      }
      return tensor([batch, 4, h, w], out);
    },
    prepareDecoder() {},
    prepareUNet() {
      asked.prepared++;
    },
    predictor() {
      return (x: Tensor, t: number, context: Tensor) => this.predict(x, t, context);
    },
    async encodeImage(image: Tensor) {
      asked.encoded++;
      return full([1, 8, image.shape[2]! / 8, image.shape[3]! / 8], 0.1);
    },
    async decodeLatents(z: Tensor) {
      asked.decoded++;
      const [, , h, w] = z.shape as [number, number, number, number];
      const data = Float32Array.from({ length: 3 * 64 * h * w }, (_, i) =>
        Math.sin(z.data[i % z.data.length]!),
      );
      return tensor([1, 3, 8 * h, 8 * w], data);
    },
    async release() {},
    async [Symbol.asyncDispose]() {},
  };
  return model as unknown as DiffusionModel & { readonly asked: Asked };
}

const IMAGE = picture(32, 32, new Uint8Array(32 * 32 * 3).fill(100));
const MASK = mask(32, 32, new Uint8Array(32 * 32).fill(255, 0, 512));
const REQUEST: GenerationRequest = { prompt: "a cat", seed: 3, steps: 6 };

const pipelines: readonly [
  string,
  (m: DiffusionModel, r: GenerationRequest) => Generation,
  number,
][] = [
  ["textToImage", textToImage, 4],
  ["imageToImage", (m, r) => imageToImage(m, { ...r, image: IMAGE }), 4],
  ["inpaint", (m, r) => inpaint(m, { ...r, image: IMAGE, mask: MASK }), 4],
  ["inpaint with 9 channels", (m, r) => inpaint(m, { ...r, image: IMAGE, mask: MASK }), 9],
];

async function failure(generation: Generation): Promise<TintypeError> {
  const error = await finish(generation).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(TintypeError);
  return error as TintypeError;
}

describe.each(pipelines)("%s", (_, run, channels) => {
  test("gives the same bytes for the same seed, others for another", async () => {
    const make = (seed: number) => finish(run(fakeModel(channels), { ...REQUEST, seed }));
    const [a, again, other] = [await make(3), await make(3), await make(4)];
    expect(again.pictures).toEqual(a.pictures);
    expect(again.latents).toEqual(a.latents);
    expect(other.latents).not.toEqual(a.latents);
    expect(a.pictures.map((p) => [p.width, p.height])).toEqual([[32, 32]]);
  });

  test("picture k of a batch is the picture of seed + k", async () => {
    const sampler = "euler_a"; // draws at each step as well
    const batch = await finish(run(fakeModel(channels), { ...REQUEST, sampler, batchSize: 3 }));
    expect(batch.pictures).toHaveLength(3);
    for (const k of [0, 1, 2]) {
      const alone = await finish(run(fakeModel(channels), { ...REQUEST, sampler, seed: 3 + k }));
      expect(batch.pictures[k]).toEqual(alone.pictures[0]);
    }
  });

  test("stops within a step once it is aborted, and decodes nothing", async () => {
    const model = fakeModel(channels);
    const abort = new AbortController();
    const generation = run(model, { ...REQUEST, sampler: "euler", signal: abort.signal });
    await generation.next();
    const calls = model.asked.batches.length;
    abort.abort();
    expect((await failure(generation)).code).toBe("aborted");
    expect(model.asked.batches.length).toBe(calls);
    expect(model.asked.decoded).toBe(0);
    expect(await generation.next()).toEqual({ done: true, value: undefined });
  });

  test("stops after the call that is under way", async () => {
    const model = fakeModel(channels);
    const abort = new AbortController();
    const predict = model.predict;
    const slow: DiffusionModel = {
      ...model,
      async predict(...args) {
        if (model.asked.batches.length === 2) abort.abort();
        return await predict(...args);
      },
    };
    const generation = run(slow, { ...REQUEST, sampler: "heun", signal: abort.signal });
    expect((await failure(generation)).code).toBe("aborted");
    expect(model.asked.batches.length).toBe(3);
  });

  test("asks nothing of the model when it is aborted beforehand", async () => {
    const model = fakeModel(channels);
    const error = await failure(run(model, { ...REQUEST, signal: AbortSignal.abort("no") }));
    expect(error).toMatchObject({ code: "aborted", cause: "no" });
    expect(model.asked).toMatchObject({ prompts: [], batches: [], encoded: 0, decoded: 0 });
  });

  test("can be left after any step", async () => {
    const model = fakeModel(channels);
    let steps = 0;
    for await (const step of run(model, REQUEST)) {
      expect(step.i).toBe(steps);
      if (++steps === 2) break;
    }
    expect(model.asked.decoded).toBe(0);
    const never = run(model, REQUEST);
    expect(await never.return(undefined as never)).toMatchObject({ done: true });
  });

  test("an error of the model comes through", async () => {
    const model = fakeModel(channels);
    const broken: DiffusionModel = { ...model, predict: () => Promise.reject(new Error("broke")) };
    await expect(finish(run(broken, REQUEST))).rejects.toThrow("broke");
  });
});

describe("guidance", () => {
  test("asks for both prompts in one call, and for one where there is none", async () => {
    const guided = fakeModel();
    await finish(textToImage(guided, { ...REQUEST, sampler: "euler", negativePrompt: "dog" }));
    expect(guided.asked.prompts).toEqual([["a cat", "dog"]]);
    expect(guided.asked.batches).toEqual(Array(6).fill(2));
    const plain = fakeModel();
    await finish(textToImage(plain, { ...REQUEST, sampler: "euler", guidanceScale: 1 }));
    expect(plain.asked.prompts).toEqual([["a cat"]]);
    expect(plain.asked.batches).toEqual(Array(6).fill(1));
  });

  test("holds only within its range of steps", async () => {
    const model = fakeModel();
    const guidanceSteps = { from: 1, to: 3 };
    await finish(textToImage(model, { ...REQUEST, sampler: "euler", guidanceSteps }));
    expect(model.asked.batches).toEqual([1, 2, 2, 1, 1, 1]);
    const wrong = { ...REQUEST, guidanceSteps: { from: 3, to: 3 } };
    expect((await failure(textToImage(fakeModel(), wrong))).message).toMatch(/\[3, 3\)/);
    const rescale = { ...REQUEST, guidanceRescale: 2 };
    expect((await failure(textToImage(fakeModel(), rescale))).message).toMatch(/^guidance rescale/);
  });

  test("moves the picture away from the negative prompt", async () => {
    const latents = async (guidanceScale: number) =>
      (await finish(textToImage(fakeModel(), { ...REQUEST, guidanceScale, negativePrompt: "z" })))
        .latents;
    expect(await latents(3)).not.toEqual(await latents(7));
  });
});

describe("a run tells", () => {
  test("of each step, with calls so far and a preview", async () => {
    const seen: number[] = [];
    const kept: (readonly number[])[] = [];
    for await (const step of textToImage(fakeModel(), { ...REQUEST, sampler: "heun" })) {
      seen.push(step.i);
      kept.push(step.callMs);
      const [preview] = step.preview();
      expect([preview!.width, preview!.height]).toEqual([4, 4]);
      expect(step.denoised.shape).toEqual([1, 4, 4, 4]);
    }
    expect(seen).toEqual([0, 1, 2, 3, 4, 5]);
    expect(kept.map((ms) => ms.length)).toEqual([2, 4, 6, 8, 10, 11]); // the last step is Euler's
  });

  test("which prompts were cut, and how it was set", async () => {
    const request = { ...REQUEST, prompt: ["a long one", "ok"], batchSize: 2 };
    const { truncated, settings, timings, plan } = await finish(textToImage(fakeModel(), request));
    expect(truncated).toEqual(["g one", "g one", undefined, undefined]);
    expect(settings.seeds).toEqual([3n, 4n, 5n, 6n]);
    expect(plan.sampler).toBe("pndm");
    expect(timings.callMs.length).toBe(7); // plms calls twice at its start
  });
});

test("the strength decides how many steps are taken", async () => {
  const model = fakeModel();
  await finish(imageToImage(model, { ...REQUEST, sampler: "euler", image: IMAGE, strength: 0.5 }));
  expect(model.asked.batches).toHaveLength(3);
  expect(model.asked.encoded).toBe(1);
  const none = imageToImage(fakeModel(), {
    ...REQUEST,
    sampler: "euler",
    image: IMAGE,
    strength: 0.01,
  });
  expect((await failure(none)).message).toMatch(/^strength 0\.01 of 6 steps leaves no step/);
});
