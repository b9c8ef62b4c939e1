import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { readPublished, sparseSafetensors } from "../../test/golden/checkpoints/support.js";
import { nodePlatform } from "../platform/node/platform.js";
import type { Platform } from "../platform/types.js";
import { TintypeError } from "../util/errors.js";
import { startingPoint } from "./autoencoder/start.js";
import { diffusionParts } from "./diffusion/parts.js";
import { findModel, findVae, named } from "./pretrained.js";
import type { TaskContext } from "./task.js";
import { tokenizerNamed } from "./tokenizer.js";

const MODELS = resolve(import.meta.dirname, "../../test/golden/models");
const context = { platform: nodePlatform(), notice: () => {} } as unknown as TaskContext;

/** The message of an error that a user can meet, without the folder of the models. */
async function refusal(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(TintypeError);
  return (error as TintypeError).message.replaceAll(`${MODELS}/`, "");
}

describe("a single file that says too little advises no option of other commands", () => {
  test.each([
    ["micro.safetensors", /: UNet: 4 channels do not divide into the 8 heads of Stable Diff.* 1\./],
    ["tiny-sd2.safetensors", /: UNet: attention of width 8: expected a multiple of 64, .* head\./],
    ["micro.vae.safetensors", / holds a VAE alone \(key .*\), which this version does not run\./],
  ])("as the model %s", async (file, problem) => {
    const message = await refusal(findModel("from", `${MODELS}/${file}`, context));
    const advice = ' Name a diffusers folder of the whole model in "from".';
    expect(message).toMatch(new RegExp(`^from: ${file}${problem.source}${advice}$`));
  });

  test.each(["micro.safetensors", "micro.vae.safetensors"])("as the VAE %s", async (file) => {
    expect(await refusal(findVae("model.vae", `${MODELS}/${file}`, context))).toBe(
      `model.vae: ${file}: VAE: 4 channels do not divide into 32 groups. ` +
        'Name a diffusers folder of this autoencoder in "model.vae".',
    );
  });

  test("as a model without a VAE", async () => {
    const rows = readPublished().sd1!.ldm.filter(([key]) => !key.startsWith("first_stage_model."));
    const platform: Platform = {
      ...context.platform,
      stat: async (ref) => (ref === "m.safetensors" ? { kind: "file", size: 1 } : undefined),
      openFile: async (ref) => sparseSafetensors(ref, rows),
    };
    expect(await refusal(findModel("from", "m.safetensors", { ...context, platform }))).toBe(
      "from: m.safetensors: holds no VAE. " +
        'Name a diffusers folder of the whole model in "from".',
    );
  });
});

test("each key is told by its name", async () => {
  const loss = { pixel: "l1", kl: 1, reduction: "mean" } as const;
  const own = { seed: 0, text: { train: true, rate: 1 }, sampling: { steps: 1, guidanceScale: 1 } };
  const file = `${MODELS}/micro.safetensors`;
  const model = { unet: {}, noise: {}, vae: `${MODELS}/micro`, text: file } as never;
  const start = (more: object) =>
    startingPoint({ seed: 0, train: "all", model: {} as never, loss, ...more }, context);
  const perceptual = { weight: 1, clip: file };
  const from = `${MODELS}/micro`;
  expect([
    await refusal(start({ from: "./none" })),
    await refusal(start({ from, loss: { ...loss, perceptual } })),
    await refusal(start({ from, loss: { ...loss, perceptual: { weight: 1, vgg: file } } })),
    await refusal(diffusionParts({ ...own, from: "./none" }, context)),
    await refusal(diffusionParts({ ...own, model }, context)),
    await refusal(tokenizerNamed("model.tokenizer", file, context)),
  ]).toEqual([
    expect.stringMatching(/^from: there is no file or folder ".\/none"/),
    "loss.perceptual.clip: micro.safetensors: expected a folder, got a file.",
    expect.stringMatching(/^loss\.perceptual\.vgg: micro\.safetensors: has no features\.0/),
    expect.stringMatching(/^from: there is no file or folder ".\/none"/),
    "model.text: micro.safetensors: expected a folder, got a file.",
    "model.tokenizer: micro.safetensors: expected a folder, got a file.",
  ]);
});

test("what is stopped, and what is a bug, stays as it is", async () => {
  for (const error of [new TintypeError("aborted", "stopped"), new Error("internal: x")]) {
    await expect(named("from", () => Promise.reject(error))).rejects.toBe(error);
  }
});
