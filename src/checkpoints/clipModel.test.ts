import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CLIP_L_TEXT, type ClipConfig } from "../models/clip/config.js";
import { nodePlatform } from "../platform/node/platform.js";
import { readTensor } from "../tensor/convert.js";
import { tensor } from "../tensor/tensor.js";
import { loadClipModel, parseClipModelConfig } from "./clipModel.js";
import { loadTextEncoder } from "./load.js";
import { writeClipModel } from "./writeModel.js";

const CONFIG: ClipConfig = {
  text: { ...CLIP_L_TEXT, vocabSize: 9, hiddenSize: 4, intermediateSize: 8, layers: 1, heads: 2 },
  vision: {
    hiddenSize: 6,
    intermediateSize: 12,
    layers: 2,
    heads: 3,
    imageSize: 32,
    patchSize: 8,
    activation: "gelu",
    layerNormEps: 1e-6,
  },
  projectionDim: 5,
};

const WEIGHTS = new Map([
  ["text_model.final_layer_norm.weight", tensor([4], Float32Array.of(1, 2, 3, 4))],
  ["vision_model.embeddings.class_embedding", tensor([6], new Float32Array(6).fill(0.5))],
  ["logit_scale", tensor([], Float32Array.of(2.5))],
]);

const TOKENIZER = { "vocab.json": "{}", "merges.txt": "#version: 0.2\n" };

const platform = nodePlatform();
let folder = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tintype-"));
  const model = { config: CONFIG, weights: WEIGHTS };
  const tokens = { start: 7, end: 8 };
  await writeClipModel(platform.files, folder, { model, tokenizer: TOKENIZER, tokens });
});
afterEach(() => rm(folder, { recursive: true }));

const open = async (path = "") => platform.openFolder(join(folder, path));

describe("a CLIPModel that was written", () => {
  test.each(["", "clip"])("reads back from the folder %j", async (path) => {
    const found = await loadClipModel(await open(path));
    expect(found.config).toEqual(CONFIG);
    expect(found.tokenizer).toEqual(TOKENIZER);
    expect([found.mean, found.deviation]).toEqual([
      [0.5, 0.5, 0.5],
      [0.5, 0.5, 0.5],
    ]);
    expect([...found.weights.keys()].sort()).toEqual([...WEIGHTS.keys()].sort());
    for (const [name, value] of WEIGHTS) {
      expect(await readTensor(found.weights.get(name)!)).toEqual(value);
    }
  });

  test("has its text encoder where a diffusion model has it", async () => {
    const { text, tokenizer } = await loadTextEncoder(await open());
    expect(text.config).toEqual(CONFIG.text);
    expect([...text.weights.keys()]).toEqual(["final_layer_norm.weight"]);
    expect(Object.keys(tokenizer).sort()).toEqual([
      "merges.txt",
      "tokenizer_config.json",
      "vocab.json",
    ]);
  });

  test("takes OpenAI's normalisation where it says none", async () => {
    await rm(join(folder, "clip/preprocessor_config.json"));
    expect((await loadClipModel(await open())).mean[0]).toBeCloseTo(0.4814, 3);
  });

  test("says what is wrong with it", async () => {
    const path = join(folder, "clip/preprocessor_config.json");
    await writeFile(
      path,
      (await readFile(path, "utf8")).replace(/"image_mean": \[[^\]]*]/, '"image_mean": [1]'),
    );
    await expect(loadClipModel(await open())).rejects.toThrow("expected three numbers, got [1]");
    await rm(join(folder, "clip/model.safetensors"));
    await expect(loadClipModel(await open())).rejects.toThrow("expected a CLIPModel");
  });
});

test("a config that cannot be is refused by name", () => {
  expect(() => parseClipModelConfig({ model_type: "siglip" }, "x")).toThrow("x: model_type");
  const odd = { vision_config: { image_size: 30, patch_size: 8 } };
  expect(() => parseClipModelConfig(odd, "x")).toThrow("x: vision_config: image_size");
});
