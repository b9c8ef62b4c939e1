import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cpuEngine } from "../../../test/training/support.js";
import { loadModelFiles, type ModelFiles } from "../../checkpoints/index.js";
import { openModel } from "../../pipelines/model.js";
import { finish } from "../../pipelines/run.js";
import { textToImage } from "../../pipelines/textToImage.js";
import { nodePlatform } from "../../platform/node/platform.js";
import type { Engine } from "../../runtime/engine.js";
import type { StoredTensors } from "../../tensor/stored.js";
import { parseConfig } from "../config.js";
import { startDataWorker } from "../data/node/start.js";
import { readWeights } from "../pretrained.js";
import type { TaskContext } from "../task.js";
import type { Weights } from "../weights.js";
import { type DiffusionConfig, diffusionSchema } from "./config.js";
import { openDiffusion } from "./task.js";

const inFull = test.skipIf(process.env.TINTYPE_TEST !== "full");
const MODELS = resolve(import.meta.dirname, "../../../test/golden/models");
const platform = nodePlatform();

const SMALL = {
  steps: 2,
  data: { kind: "postcards", count: 4 },
  batchSize: 2,
  recompute: false,
  samples: { prompts: ["a red house"], seeds: [3] },
  sampling: { steps: 2, guidanceScale: 2 },
};

const NEW = {
  vae: join(MODELS, "micro"),
  text: { hiddenSize: 16, intermediateSize: 32, layers: 1, heads: 2 },
  tokenizer: join(MODELS, "micro"),
  unet: {
    sampleSize: 16,
    blocks: ["crossAttention", "resnet"],
    blockOutChannels: [16, 16],
    layersPerBlock: 1,
    heads: [2, 2],
    transformerLayers: [1, 1],
    normNumGroups: 8,
  },
};

let folder = "";
let engine: Engine;
let context: TaskContext;
const notices: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tintype-"));
  engine = cpuEngine();
  const notice = (message: string): void => void notices.push(message);
  context = { platform, engine, startWorker: startDataWorker, notice };
});

afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const settings = (own: object): DiffusionConfig =>
  parseConfig(diffusionSchema, { ...SMALL, ...own }, "settings");

const model = async (path: string): Promise<ModelFiles> =>
  loadModelFiles(await platform.openFolder(path));

/** The losses of a training, and its product in a folder. */
async function trained(config: DiffusionConfig, product: string): Promise<number[]> {
  await using task = await openDiffusion(config, context);
  const losses: number[] = [];
  for (let step = 0; step < config.steps; step++) losses.push((await task.step(step)).loss);
  await task.export(product);
  return losses;
}

async function changed(before: StoredTensors, after: StoredTensors): Promise<string[]> {
  const [a, b] = [await readWeights(before), await readWeights(after)];
  expect([...b.keys()].sort()).toEqual([...a.keys()].sort());
  return [...a]
    .filter(([name, { data }]) => data.some((x, i) => x !== at(b, name, i)))
    .map(([n]) => n);
}

const at = (weights: Weights, name: string, i: number): number => weights.get(name)!.data[i]!;

describe("fine-tuning a checkpoint", () => {
  test("moves the UNet alone, and writes a folder that makes the pictures of the samples", async () => {
    const config = settings({ from: join(MODELS, "micro"), ema: null });
    const product = join(folder, "tuned");
    await using task = await openDiffusion(config, context);
    for (let step = 0; step < 2; step++) {
      const { loss, mse } = await task.step(step);
      expect([Number.isFinite(loss), loss]).toEqual([true, mse]);
    }
    await task.export(product);
    const [before, after] = [await model(join(MODELS, "micro")), await model(product)];
    expect((await changed(before.unet.weights, after.unet.weights)).length).toBeGreaterThan(100);
    expect(await changed(before.text.weights, after.text.weights)).toEqual([]);
    expect(await changed(before.vae.weights, after.vae.weights)).toEqual([]);
    expect(after.scheduler).toEqual({ ...before.scheduler, prediction_type: "epsilon" });

    const [sample] = await task.samples();
    await using opened = await openModel(after, { engine });
    const request = { prompt: "a red house", seed: 3, steps: 2, guidanceScale: 2 };
    const { pictures } = await finish(textToImage(opened, request));
    expect(sample!.caption).toBe("a red house");
    expect(sample!.picture).toEqual(pictures[0]);
  });

  test("trains the text encoder along where it is told to", async () => {
    const config = settings({ from: join(MODELS, "micro"), text: { train: true }, ema: null });
    await trained(config, join(folder, "joint"));
    const [before, after] = [
      await model(join(MODELS, "micro")),
      await model(join(folder, "joint")),
    ];
    expect((await changed(before.text.weights, after.text.weights)).length).toBeGreaterThan(30);
  });

  inFull("keeps what a v-prediction model predicts", async () => {
    await trained(settings({ from: join(MODELS, "tiny-sd2") }), join(folder, "sd2"));
    const after = await model(join(folder, "sd2"));
    expect([after.prediction, after.family]).toEqual(["v_prediction", "sd2"]);
  });

  inFull("writes half precision where it is told to", async () => {
    await trained(settings({ from: join(MODELS, "micro"), dtype: "fp16" }), join(folder, "half"));
    const { unet, text, vae } = await model(join(folder, "half"));
    const dtypes = [unet, text, vae].flatMap(({ weights }) =>
      [...weights.values()].map((t) => t.dtype),
    );
    expect(new Set(dtypes)).toEqual(new Set(["f16"]));
  });
});

describe("a new model", () => {
  test("of a new text encoder, an autoencoder and a vocabulary", async () => {
    const named = { ...NEW, tokenizer: "postcards" };
    const config = settings({ model: named, text: { train: true }, prediction: "v_prediction" });
    await trained(config, join(folder, "new"));
    const files = await model(join(folder, "new"));
    expect([files.prediction, files.text.config.maxPositions]).toEqual(["v_prediction", 32]);
    await using opened = await openModel(files, { engine });
    const request = { prompt: "a red house", seed: 3, steps: 2 };
    const { pictures } = await finish(textToImage(opened, request));
    expect([pictures[0]!.width, pictures[0]!.height]).toEqual([128, 128]);
  });

  test("starts by predicting nothing, so that the loss is the target's mean square", async () => {
    const config = settings({ model: NEW, text: { train: true } });
    await using task = await openDiffusion(config, context);
    const { loss } = await task.step(0);
    expect(loss).toBeGreaterThan(0.8);
    expect(loss).toBeLessThan(1.2);
  });

  inFull("without a text: every caption is taken as empty", async () => {
    const base = { model: NEW, text: { train: true } };
    const none = settings({ ...base, conditioning: "none" });
    const dropped = settings({ ...base, captionDropout: 1 });
    expect(await trained(none, join(folder, "none"))).toEqual(
      await trained(dropped, join(folder, "dropped")),
    );
    await using task = await openDiffusion(none, context);
    expect((await task.samples()).map(({ caption }) => caption)).toEqual([""]);
  });
});

describe("latents on the disk", () => {
  test("give about the losses of pictures, and are made once", async () => {
    const base = { from: join(MODELS, "micro") };
    const fresh = await trained(settings(base), join(folder, "fresh"));
    const cached = settings({ ...base, cache: join(folder, "cache") });
    notices.length = 0;
    const first = await trained(cached, join(folder, "cached"));
    expect(notices.at(-1)).toMatch(/latents of 4 of 4 pictures are in/);
    fresh.forEach((loss, i) => {
      expect(Math.abs(loss - first[i]!)).toBeLessThan(2e-3 * loss);
    });
    expect(await trained(cached, join(folder, "again"))).toEqual(first);
  });
});

describe("settings that cannot be", () => {
  const refused = (own: object) => openDiffusion(settings(own), context);

  test("a checkpoint and a new model", async () => {
    await expect(refused({})).rejects.toThrow('expected one of "from"');
    await expect(refused({ from: "x", model: NEW })).rejects.toThrow("got both");
  });

  test("a new text encoder that is not trained, or has no vocabulary", async () => {
    await expect(refused({ model: NEW })).rejects.toThrow("a new text encoder knows nothing");
    const { tokenizer: _, ...rest } = NEW;
    const named = refused({ model: rest, text: { train: true } });
    await expect(named).rejects.toThrow("model.tokenizer: name a folder");
  });

  test("an inpainting model", async () => {
    await expect(refused({ from: join(MODELS, "tiny-inpaint") })).rejects.toThrow(
      "the UNet takes 9 channels, as inpainting models do",
    );
  });

  test("samplers and noise that no picture could be made with, before the first step", async () => {
    const from = join(MODELS, "micro");
    const unknown = refused({ from, sampling: { sampler: "eulr" } });
    await expect(unknown).rejects.toThrow('unknown sampler "eulr": did you mean "euler"?');
    const model = { ...NEW, noise: { zeroTerminalSnr: true } };
    const blind = refused({ model, text: { train: true }, prediction: "epsilon" });
    await expect(blind).rejects.toThrow("use the prediction type v");
  });

  test("a UNet whose lists differ in length", async () => {
    const unet = { ...NEW.unet, heads: [2] };
    await expect(refused({ model: { ...NEW, unet }, text: { train: true } })).rejects.toThrow(
      "heads has 1 entry and blocks has 2",
    );
  });
});
