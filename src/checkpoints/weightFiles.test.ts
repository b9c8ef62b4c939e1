import { expect, test } from "vitest";
import { findWeights } from "./weightFiles.js";

const S = "unet/diffusion_pytorch_model";

test.each<[string, readonly string[], string | undefined, string | undefined]>([
  ["safetensors before pickles", [`${S}.bin`, `${S}.safetensors`], undefined, `${S}.safetensors`],
  [
    "plain before fp16",
    [`${S}.fp16.safetensors`, `${S}.safetensors`],
    undefined,
    `${S}.safetensors`,
  ],
  [
    "fp16 where it was asked for",
    [`${S}.safetensors`, `${S}.fp16.safetensors`],
    "fp16",
    `${S}.fp16.safetensors`,
  ],
  ["plain where the variant is missing", [`${S}.safetensors`], "fp16", `${S}.safetensors`],
  ["fp16 where nothing else is", [`${S}.fp16.bin`], undefined, `${S}.fp16.bin`],
  ["an index", [`${S}.safetensors.index.json`], undefined, `${S}.safetensors.index.json`],
  [
    "an index of a variant",
    [`${S}.safetensors.index.fp16.json`],
    "fp16",
    `${S}.safetensors.index.fp16.json`,
  ],
  [
    "transformers' way to name it",
    [`${S}.fp16.safetensors.index.json`],
    "fp16",
    `${S}.fp16.safetensors.index.json`,
  ],
  ["nothing", ["vae/diffusion_pytorch_model.bin", `${S}.non_ema.bin`], undefined, undefined],
])("%s", (_, paths, variant, path) => {
  const found = findWeights(paths, "unet", variant);
  expect(found?.path).toBe(path);
  expect(found?.sharded ?? false).toBe(path?.endsWith(".json") ?? false);
});

test("text encoders go by transformers' names", () => {
  const paths = ["text_encoder/model.safetensors", "text_encoder/pytorch_model.bin"];
  expect(findWeights(paths, "text_encoder")?.path).toBe(paths[0]);
  expect(findWeights(paths.slice(1), "text_encoder")?.path).toBe(paths[1]);
});
