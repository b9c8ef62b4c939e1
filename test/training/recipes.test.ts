import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { sizeOf } from "../../src/tensor/tensor.js";
import { autoencoderSchema } from "../../src/training/autoencoder/config.js";
import { clipTrainingSchema } from "../../src/training/clip/config.js";
import { parseConfig } from "../../src/training/config.js";
import { diffusionSchema } from "../../src/training/diffusion/config.js";
import { checkGroups, checkUNet } from "../../src/training/modelConfig.js";
import {
  clipParameters,
  type Declared,
  textParameters,
  unetParameters,
  vaeParameters,
} from "../../src/training/weights.js";

const FOLDER = resolve(import.meta.dirname, "../../recipes/postcards");

const recipe = (name: string): unknown =>
  JSON.parse(readFileSync(join(FOLDER, `${name}.json`), "utf8"));

const count = (declared: Declared): number =>
  [...declared.values()].reduce((n, { shape }) => n + sizeOf(shape), 0);

const autoencoder = () => parseConfig(autoencoderSchema, recipe("autoencoder"), "autoencoder");
const diffusion = () => parseConfig(diffusionSchema, recipe("diffusion"), "diffusion");

/** More tokens than the captions' vocabulary has. */
const VOCABULARY = { vocabSize: 1000, maxPositions: 32 };

describe("the recipes of the postcards", () => {
  test("are settings that there are", () => {
    for (const name of readdirSync(FOLDER).filter((file) => /^(autoencoder|refine)/.test(file))) {
      parseConfig(autoencoderSchema, recipe(name.replace(".json", "")), name);
    }
    const clip = parseConfig(clipTrainingSchema, recipe("clip"), "clip");
    expect(
      count(clipParameters({ ...clip.model, text: { ...clip.model.text, ...VOCABULARY } })),
    ).toBeLessThan(10e6);
    const { model } = autoencoder();
    checkGroups("model", model.blockOutChannels, model.normNumGroups);
    checkUNet("unet", diffusion().model!.unet);
    const compose = parseConfig(diffusionSchema, recipe("compose"), "compose");
    expect(compose.from).toBe("runs/postcards/diffusion/model");
  });

  test("make a model of at most 32 MB in half precision", () => {
    const { unet, text } = diffusion().model!;
    const clip = parseConfig(clipTrainingSchema, recipe("clip"), "clip").model.text;
    const reader = { ...(typeof text === "string" ? clip : text), ...VOCABULARY };
    const parameters =
      count(unetParameters({ ...unet, crossAttentionDim: reader.hiddenSize })) +
      count(vaeParameters(autoencoder().model)) +
      count(textParameters(reader));
    expect(2 * parameters).toBeLessThan(31.9e6);
  });
});
