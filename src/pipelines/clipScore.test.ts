import { resolve } from "node:path";
import { expect, test } from "vitest";
import { cpuEngine, curves, derivedWeights, pictures } from "../../test/training/support.js";
import type { ClipModelFiles } from "../checkpoints/index.js";
import { readTokenizer, tokenizerOf } from "../checkpoints/index.js";
import { type Picture, tensorToPictures } from "../image/picture.js";
import { CLIP_L_TEXT, type ClipConfig } from "../models/clip/config.js";
import { nodePlatform } from "../platform/node/platform.js";
import { storedInMemory } from "../tensor/stored.js";
import { clipParameters } from "../training/weights.js";
import { openClipScorer } from "./clipScore.js";

const PROMPTS = ["a red house", "two green trees beside a lake at night", ""];

const TOWER = {
  hiddenSize: 32,
  intermediateSize: 64,
  layers: 2,
  heads: 4,
  activation: "quick_gelu",
  layerNormEps: 1e-5,
} as const;

/** The CLIPModel of scripts/golden/training.py, with the tokenizer of the smallest fixture. */
async function clip(): Promise<ClipModelFiles> {
  const path = resolve(import.meta.dirname, "../../test/golden/models/micro");
  const folder = await nodePlatform().openFolder(path);
  const tokenizer = await readTokenizer(folder, await folder.list());
  const { vocabSize } = tokenizerOf("micro", tokenizer, 77);
  const config: ClipConfig = {
    text: { ...CLIP_L_TEXT, ...TOWER, vocabSize },
    vision: { ...TOWER, imageSize: 16, patchSize: 4 },
    projectionDim: 24,
  };
  return {
    name: "golden",
    file: "golden",
    config,
    weights: storedInMemory(derivedWeights("train.clip", clipParameters(config).values())),
    tokenizer,
    mean: [0.48145466, 0.4578275, 0.40821073],
    deviation: [0.26862954, 0.26130258, 0.27577711],
  };
}

const seen = (h: number, w: number): Picture =>
  tensorToPictures(pictures(`score.${h}x${w}`, 1, h, w))[0]!;

test("prompts and pictures score as in transformers", async () => {
  await using engine = cpuEngine();
  await using scorer = await openClipScorer(await clip(), engine);
  const { shape, data } = await scorer.score(PROMPTS, [seen(16, 16), seen(40, 27)]);
  expect(shape).toEqual([3, 2]);
  const reference = (curves().score as unknown as number[][]).flat();
  data.forEach((x, i) => {
    expect(Math.abs(x - reference[i]!)).toBeLessThan(1e-5);
  });
});

test("weights that do not fit are refused by name", async () => {
  const files = await clip();
  const weights = new Map(files.weights);
  weights.delete("visual_projection.weight");
  await using engine = cpuEngine();
  await expect(openClipScorer({ ...files, weights }, engine)).rejects.toThrow(
    "visual_projection.weight",
  );
});
