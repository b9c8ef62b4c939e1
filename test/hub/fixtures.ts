import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nodePlatform } from "../../src/platform/node/platform.js";
import type { Platform } from "../../src/platform/types.js";
import type { Repo } from "./server.js";

export const COMMIT = "0123456789abcdef0123456789abcdef01234567";

/** Bytes that are the same in every run (a linear congruential generator). */
export function noise(length: number, seed = 1): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

const MODEL_INDEX = {
  _class_name: "StableDiffusionPipeline",
  safety_checker: ["stable_diffusion", "StableDiffusionSafetyChecker"],
  feature_extractor: ["transformers", "CLIPImageProcessor"],
  image_encoder: [null, null],
  scheduler: ["diffusers", "PNDMScheduler"],
  text_encoder: ["transformers", "CLIPTextModel"],
  tokenizer: ["transformers", "CLIPTokenizer"],
  unet: ["diffusers", "UNet2DConditionModel"],
  vae: ["diffusers", "AutoencoderKL"],
};

/** A small repository with everything that a published Stable Diffusion has, wanted or not. */
export function pipelineRepo(id = "tester/tiny-sd"): Repo {
  return {
    id,
    commit: COMMIT,
    files: {
      ".gitattributes": text("*.safetensors filter=lfs\n"),
      "README.md": text("# A model\n"),
      "model_index.json": text(JSON.stringify(MODEL_INDEX)),
      "v1-5-pruned.safetensors": noise(9000, 9),
      "v1-inference.yaml": text("model: {}\n"),
      "safety_checker/config.json": text("{}"),
      "safety_checker/model.safetensors": noise(5000, 8),
      "feature_extractor/preprocessor_config.json": text("{}"),
      "scheduler/scheduler_config.json": text('{"_class_name":"PNDMScheduler"}'),
      "text_encoder/config.json": text('{"a":1}'),
      "text_encoder/model.safetensors": noise(7000, 2),
      "text_encoder/model.fp16.safetensors": noise(3500, 3),
      "text_encoder/pytorch_model.bin": noise(7001, 4),
      "tokenizer/merges.txt": text("#version: 0.2\n"),
      "tokenizer/vocab.json": text("{}"),
      "unet/config.json": text('{"b":2}'),
      "unet/diffusion_pytorch_model.safetensors": noise(300_000, 5),
      "unet/diffusion_pytorch_model.fp16.safetensors": noise(150_000, 6),
      "unet/diffusion_pytorch_model.non_ema.safetensors": noise(299_999, 7),
      "vae/config.json": text('{"c":3}'),
      "vae/diffusion_pytorch_model.safetensors": noise(20_000, 10),
    },
  };
}

/** The files of `pipelineRepo` that a plain run needs. */
export const PLAIN: readonly string[] = [
  "model_index.json",
  "scheduler/scheduler_config.json",
  "text_encoder/config.json",
  "text_encoder/model.safetensors",
  "tokenizer/merges.txt",
  "tokenizer/vocab.json",
  "unet/config.json",
  "unet/diffusion_pytorch_model.safetensors",
  "vae/config.json",
  "vae/diffusion_pytorch_model.safetensors",
];

/** A folder that goes away with the test. */
export async function scratch(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "tintype-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** A platform whose home and cache are in `home` and whose hub is `endpoint`. */
export function platformIn(
  home: string,
  endpoint: string,
  environment: { readonly [name: string]: string } = {},
): Platform {
  return nodePlatform({ HOME: home, HF_ENDPOINT: endpoint, ...environment });
}
