import { afterAll, describe, expect, test } from "vitest";
import { loadModelFiles } from "../../src/checkpoints/index.js";
import { psnr } from "../../src/evaluation/pictureQuality.js";
import { manifest } from "../../src/graph/graph.js";
import { mask, type Picture, picture } from "../../src/image/picture.js";
import {
  type DiffusionModel,
  finish,
  type Generation,
  type GenerationRequest,
  imageToImage,
  inpaint,
  loadModel,
  nodePlatform,
  type OpenOptions,
  openModel,
  textToImage,
} from "../../src/node.js";
import type { Engine } from "../../src/runtime/engine.js";
import { nodeEngine } from "../../src/runtime/node/engine.js";
import { MODELS, scratch } from "../cli/fixtures.js";
import { relativeError } from "../engine/run.js";

/*
 * Shortcuts under every pipeline, kind of model and sampler: what must not change does not, to the bit, and
 * work is left out where it should be.
 */

const platform = nodePlatform();
const engine = nodeEngine({ platform, device: "cpu", threads: 1, cacheLimit: 0 });
afterAll(() => engine[Symbol.asyncDispose]());

/** What an engine holds and what it ran, of the UNet. */
interface Seen {
  /** Parameters of the programs that are loaded. */
  readonly held: Set<Iterable<string>>;
  readonly runs: Record<string, number>;
}

/** The engine, watched. */
function watched({ held, runs }: Seen): Engine {
  return {
    ...engine,
    async load(graph, weights, options) {
      const program = await engine.load(graph, weights, options);
      if (!options.label.startsWith("UNet")) return program;
      const [, name = "whole"] = options.label.match(/^UNet \((\w+)\)/) ?? [];
      const params = [...graph.params.keys()];
      held.add(params);
      return {
        async run(inputs) {
          runs[name] = (runs[name] ?? 0) + 1;
          return await program.run(inputs);
        },
        async [Symbol.asyncDispose]() {
          held.delete(params);
          await program[Symbol.asyncDispose]();
        },
      };
    },
  };
}

const unseen = (): Seen => ({ held: new Set(), runs: {} });

async function open(
  name: string,
  seen = unseen(),
  more: Partial<OpenOptions> = {},
): Promise<DiffusionModel> {
  const files = await loadModelFiles(await platform.openFolder(`${MODELS}/${name}`), {});
  return await openModel(files, { engine: watched(seen), ...more });
}

const SIDE = 64;
const IMAGE = picture(
  SIDE,
  SIDE,
  Uint8Array.from({ length: 3 * SIDE ** 2 }, (_, i) => (i * 37) % 256),
);
const MASK = mask(
  SIDE,
  SIDE,
  Uint8Array.from({ length: SIDE ** 2 }, (_, i) => (i % SIDE < 32 ? 255 : 0)),
);
const REQUEST = { prompt: "a cat", negativePrompt: "rain", seed: 5 } as const;

type Pipeline = (model: DiffusionModel, more: Partial<GenerationRequest>) => Generation;

/** Two steps by default; with `steps: 1`, one. */
const PIPELINES: readonly (readonly [string, string, Pipeline])[] = [
  [
    "a batch of wide pictures",
    "tiny-sd1",
    (model, more) =>
      textToImage(model, { ...REQUEST, steps: 2, width: 88, height: 72, batchSize: 2, ...more }),
  ],
  [
    "pictures of a model that predicts v, of two prompts",
    "tiny-sd2",
    (model, more) => textToImage(model, { ...REQUEST, prompt: ["a", "b"], steps: 2, ...more }),
  ],
  [
    "pictures from a picture",
    "tiny-sd1",
    (model, { steps = 2, ...more }) =>
      imageToImage(model, { ...REQUEST, steps: 2 * steps, image: IMAGE, strength: 0.5, ...more }),
  ],
  [
    "parts that are repainted",
    "tiny-sd1",
    (model, more) => inpaint(model, { ...REQUEST, steps: 2, image: IMAGE, mask: MASK, ...more }),
  ],
  [
    "parts that are repainted by a model that sees the mask",
    "tiny-inpaint",
    (model, more) => inpaint(model, { ...REQUEST, steps: 2, image: IMAGE, mask: MASK, ...more }),
  ],
];

describe.each(PIPELINES)("%s", (_, name, pipeline) => {
  const latents = async (model: DiffusionModel, more: Partial<GenerationRequest> = {}) =>
    (await finish(pipeline(model, { sampler: "euler", ...more }))).latents.data;

  test("are the same bits with keys and values of the text once a picture, and when one step reuses nothing", async () => {
    const seen = unseen();
    await using whole = await open(name, undefined, { textApart: false });
    await using apart = await open(name, seen);
    expect(await latents(apart)).toEqual(await latents(whole));
    expect(seen.runs).toEqual({ text: 1, whole: 2 });
    const one = { steps: 1, deepCache: 3 };
    expect(await latents(apart, one)).toEqual(await latents(whole, { steps: 1 }));
    expect(seen.runs).toMatchObject({ text: 2, down: 1, deep: 1, up: 1 });
    await latents(apart, { deepCache: 2 });
    expect(seen.runs).toMatchObject({ text: 3, down: 3, deep: 2, up: 3 });
  });
});

test("a UNet that is cut holds each of its weights once, whichever form was there before", async () => {
  const seen = unseen();
  await using model = await open("tiny-sd1", seen);
  const held = (): string[] => [...seen.held].flatMap((params) => [...params]).sort();
  const weights = [...manifest(model.graphs.unet).keys()].sort();
  for (const deepCache of [1, 2, { every: 2, branch: 3 }, 1]) {
    await finish(textToImage(model, { ...REQUEST, steps: 2, sampler: "euler", deepCache }));
    expect(held()).toEqual(weights);
  }
});

describe("deep features are worked out in one of two steps", async () => {
  const seen = unseen();
  const model = await open("tiny-sd1", seen);
  afterAll(() => model[Symbol.asyncDispose]());
  const request = { ...REQUEST, steps: 6, deepCache: { every: 2, power: 1 } };

  /** Calls, and how many of them worked them out. */
  const calls = async (more: Partial<GenerationRequest>): Promise<readonly [number, number]> => {
    const { deep = 0, up = 0 } = seen.runs;
    await finish(textToImage(model, { ...request, ...more }));
    return [seen.runs.up! - up, seen.runs.deep! - deep];
  };

  test.each([
    ["euler", 6, 3],
    ["dpmpp_2m", 6, 3],
    ["lcm", 6, 3],
    ["pndm", 7, 4], // its second step is taken twice
    ["heun", 11, 6], // two calls a step, one in the last
    ["dpm2", 11, 6],
    ["dpmpp_sde", 11, 6],
  ])("of %s: of %i calls %i", async (sampler, all, deep) => {
    expect(await calls({ sampler })).toEqual([all, deep]);
  });

  test("and where guidance begins or ends in between", async () => {
    const guided = (from: number, to: number) =>
      calls({ sampler: "heun", guidanceSteps: { from, to } });
    expect(await guided(2, 4)).toEqual([11, 6]);
    expect(await guided(1, 4)).toEqual([11, 7]);
    expect(await guided(1, 3)).toEqual([11, 8]);
  });
});

const ALL_SHORTCUTS = {
  ...{ steps: 4, sampler: "euler", width: 96, height: 64, guidanceSteps: { from: 1, to: 4 } },
  ...{ deepCache: { every: 2, branch: 2 }, mergeTokens: 2 },
} as const;

test("WebAssembly takes all of them as the CPU does", async () => {
  await using wasm = nodeEngine({ platform, device: "wasm" });
  await using there = await open("tiny-sd1", undefined, { engine: wasm });
  await using here = await open("tiny-sd1");
  const latents = async (model: DiffusionModel) =>
    (await finish(textToImage(model, { ...REQUEST, ...ALL_SHORTCUTS }))).latents.data;
  expect(relativeError(await latents(there), await latents(here))).toBeLessThan(1e-4);
});

test("8 bits take all of them nearly as float32 does", async () => {
  using space = scratch();
  const run = { device: "cpu", threads: 1, cacheLimit: 0 } as const;
  const kept = { ...run, platform: { ...platform, cacheDir: space.path } };
  const drawn: Picture[] = [];
  for (const dtype of ["fp32", "int8"] as const) {
    await using model = await loadModel(`${MODELS}/tiny-sd1`, { ...kept, dtype });
    const { pictures } = await finish(textToImage(model, { ...REQUEST, ...ALL_SHORTCUTS }));
    drawn.push(...pictures);
  }
  const nearness = psnr(drawn[0]!, drawn[1]!);
  expect(nearness).toBeGreaterThan(28);
  expect(nearness).toBeLessThan(70); // it was 8 bits
});

test("guidance that would begin after the last step is refused", async () => {
  await using model = await open("tiny-sd1");
  const request = { ...REQUEST, steps: 6, sampler: "euler", image: IMAGE, strength: 0.5 };
  const late = imageToImage(model, { ...request, guidanceSteps: { from: 3, to: 6 } });
  await expect(finish(late)).rejects.toThrow(
    "guidance steps: expected to begin before step 3, where this run ends, got 3.",
  );
  await finish(imageToImage(model, { ...request, guidanceSteps: { from: 2, to: 6 } }));
});
