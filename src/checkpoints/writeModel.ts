import type { ClipConfig, ClipTextConfig } from "../models/clip/config.js";
import type { UNetConfig } from "../models/unet/config.js";
import { type VaeConfig, vaeFactor } from "../models/vae/config.js";
import type { Files } from "../platform/types.js";
import { writeJson, writeText } from "../platform/writeText.js";
import type { Tensor } from "../tensor/tensor.js";
import { clipTokenizerConfig } from "../text/index.js";
import {
  clipConfigJson,
  clipModelConfigJson,
  clipPreprocessorJson,
  modelIndexJson,
  unetConfigJson,
  vaeConfigJson,
} from "./configJson.js";
import type { JsonObject } from "./configReader.js";
import { withSamplingDefaults } from "./samplingDefaults.js";
import type { SamplingDefaults, TokenizerFiles } from "./types.js";
import { type WeightDType, writeComponent } from "./writeComponent.js";

/** One network to write: its config, and its weights by canonical name. */
export interface NetworkToWrite<C> {
  readonly config: C;
  readonly weights: ReadonlyMap<string, Tensor>;
}

/** A text encoder to write, with what its tokenizer calls start and end. */
export interface TextEncoderToWrite extends NetworkToWrite<ClipTextConfig> {
  readonly tokenizer: TokenizerFiles;
  readonly tokens: { readonly start: number; readonly end: number };
}

/** A whole model to write. */
export interface ModelToWrite {
  readonly unet: NetworkToWrite<UNetConfig>;
  readonly vae: NetworkToWrite<VaeConfig>;
  readonly text: TextEncoderToWrite;
  /** scheduler_config.json, with the name of its class. */
  readonly scheduler: JsonObject & { readonly _class_name: string };
  /** Settings that its pictures are made with where a user names none. */
  readonly defaults?: SamplingDefaults | undefined;
}

/** Writes `text_encoder/` and `tokenizer/` into a folder. */
export async function writeTextEncoder(
  files: Files,
  folder: string,
  { config, weights, tokenizer, tokens }: TextEncoderToWrite,
  dtype: WeightDType = "fp32",
): Promise<void> {
  // The prefix that all versions of transformers read.
  const named = new Map([...weights].map(([name, value]) => [`text_model.${name}`, value]));
  const text = { config: clipConfigJson(config, tokens), weights: named } as const;
  await writeComponent(
    files,
    `${folder}/text_encoder`,
    { ...text, library: "transformers" },
    dtype,
  );
  await files.makeFolder(`${folder}/tokenizer`);
  // transformers takes prompts of any length for right where the file is missing.
  const usual = { "tokenizer_config.json": clipTokenizerConfig(config.maxPositions) };
  for (const [name, content] of Object.entries({ ...usual, ...tokenizer })) {
    await writeText(files, `${folder}/tokenizer/${name}`, content);
  }
}

/** A text and an image encoder to write, with the tokenizer of the texts. */
export interface ClipModelToWrite {
  readonly model: NetworkToWrite<ClipConfig>;
  readonly tokenizer: TokenizerFiles;
  readonly tokens: { readonly start: number; readonly end: number };
}

/**
 * Writes a CLIPModel with all that it needs into `clip/`, and its text encoder into `text_encoder/`
 * and `tokenizer/`, where a diffusion model has it.
 */
export async function writeClipModel(
  files: Files,
  folder: string,
  { model, tokenizer, tokens }: ClipModelToWrite,
  dtype: WeightDType = "fp32",
): Promise<void> {
  const { config, weights } = model;
  const whole = { config: clipModelConfigJson(config, tokens), weights } as const;
  await writeComponent(files, `${folder}/clip`, { ...whole, library: "transformers" }, dtype);
  const preprocessor = clipPreprocessorJson(config.vision.imageSize);
  await writeJson(files, `${folder}/clip/preprocessor_config.json`, preprocessor);
  for (const [name, content] of Object.entries(tokenizer)) {
    await writeText(files, `${folder}/clip/${name}`, content);
  }
  const prefix = "text_model.";
  const own = [...weights].filter(([name]) => name.startsWith(prefix));
  const text = new Map(own.map(([name, value]) => [name.slice(prefix.length), value]));
  const encoder = { config: config.text, weights: text, tokenizer, tokens };
  await writeTextEncoder(files, folder, encoder, dtype);
}

/**
 * Writes an ordinary diffusers folder of a StableDiffusionPipeline without a safety checker. Files
 * appear whole; model_index.json, which makes the folder a model, comes last.
 */
export async function writeModelFolder(
  files: Files,
  folder: string,
  { unet, vae, text, scheduler, defaults = {} }: ModelToWrite,
  dtype: WeightDType = "fp32",
): Promise<void> {
  const side = unet.config.sampleSize * vaeFactor(vae.config);
  const networks = {
    unet: { config: unetConfigJson(unet.config), weights: unet.weights },
    vae: { config: vaeConfigJson(vae.config, side), weights: vae.weights },
  };
  for (const [name, network] of Object.entries(networks)) {
    await writeComponent(files, `${folder}/${name}`, { ...network, library: "diffusers" }, dtype);
  }
  await writeTextEncoder(files, folder, text, dtype);
  await files.makeFolder(`${folder}/scheduler`);
  await writeJson(files, `${folder}/scheduler/scheduler_config.json`, scheduler);
  const index = withSamplingDefaults(modelIndexJson(scheduler._class_name), defaults);
  await writeJson(files, `${folder}/model_index.json`, index);
}
