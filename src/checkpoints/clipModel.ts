import { readTensorFile } from "../formats/index.js";
import type { ClipConfig, ClipVisionConfig } from "../models/clip/config.js";
import type { StoredTensors } from "../tensor/stored.js";
import type { Folder } from "../util/bytes.js";
import { check, TintypeError } from "../util/errors.js";
import { configReader, type JsonObject, jsonObject } from "./configReader.js";
import { parseClipConfig } from "./diffusersConfig.js";
import { readObject, TOKENIZER_FILES } from "./folder.js";
import type { TokenizerFiles } from "./types.js";

/** A text and an image encoder that meet in one space, found but not loaded. */
export interface ClipModelFiles {
  readonly name: string;
  readonly config: ClipConfig;
  /** By transformers' names: text_model.*, vision_model.*, text_projection.weight... */
  readonly weights: StoredTensors;
  readonly file: string;
  readonly tokenizer: TokenizerFiles;
  /** What pictures in [0,1] are normalised by, for each channel. */
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
}

/** OpenAI's, for folders that do not say. */
const CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073];
const CLIP_DEVIATION = [0.26862954, 0.26130258, 0.27577711];

/**
 * The CLIPModel in a folder or in its `clip/`, as transformers and a training of CLIP write it; no
 * weight is loaded. Throws "not-found", "bad-file" or "unsupported".
 */
export async function loadClipModel(folder: Folder): Promise<ClipModelFiles> {
  const paths = await folder.list();
  const at = ["", "clip/"].find((root) => paths.includes(`${root}model.safetensors`));
  if (at === undefined) {
    throw new TintypeError(
      "not-found",
      `${folder.name}: expected a CLIPModel, a config.json with model.safetensors beside it or in clip/.`,
    );
  }
  const config = parseClipModelConfig(...(await readObject(folder, `${at}config.json`)));
  const { tensors, file } = await weightsIn(folder, `${at}model.safetensors`);
  const preprocessor = `${at}preprocessor_config.json`;
  const said = paths.includes(preprocessor) ? (await readObject(folder, preprocessor))[0] : {};
  return {
    name: folder.name,
    config,
    weights: tensors,
    file,
    tokenizer: await tokenizerBeside(folder, paths, at),
    mean: channels(said.image_mean, CLIP_MEAN, preprocessor),
    deviation: channels(said.image_std, CLIP_DEVIATION, preprocessor),
  };
}

async function weightsIn(folder: Folder, path: string) {
  const source = await folder.open(path);
  const { tensors } = await readTensorFile(source);
  // Older versions write the positions' own numbers too.
  const used = [...tensors].filter(([name]) => !name.endsWith(".position_ids"));
  return { tensors: new Map(used), file: source.name };
}

async function tokenizerBeside(
  folder: Folder,
  paths: readonly string[],
  at: string,
): Promise<TokenizerFiles> {
  const files: Record<string, string> = {};
  for (const name of TOKENIZER_FILES) {
    if (!paths.includes(at + name)) continue;
    const source = await folder.open(at + name);
    files[name] = new TextDecoder().decode(await source.read(0, source.size));
  }
  return files;
}

function channels(value: unknown, usual: readonly number[], file: string): readonly number[] {
  if (value === undefined || value === null) return usual;
  const fits = Array.isArray(value) && value.length === 3 && value.every(Number.isFinite);
  check(fits, "bad-file", `${file}: expected three numbers, got ${JSON.stringify(value)}.`);
  return value as readonly number[];
}

/** A CLIPModel's config.json. Throws "bad-file" or "unsupported". */
export function parseClipModelConfig(json: JsonObject, file: string): ClipConfig {
  const whole = configReader(json, file);
  whole.only({ model_type: ["clip"] });
  const text = jsonObject(json.text_config ?? {}, `${file}: text_config`);
  const vision = jsonObject(json.vision_config ?? {}, `${file}: vision_config`);
  return {
    text: parseClipConfig({ ...text, model_type: "clip_text_model" }, `${file}: text_config`)
      .config,
    vision: parseVisionConfig(vision, `${file}: vision_config`),
    projectionDim: whole.int("projection_dim", 512),
  };
}

function parseVisionConfig(json: JsonObject, file: string): ClipVisionConfig {
  const reader = configReader(json, file);
  reader.only({ num_channels: [3] });
  const config: ClipVisionConfig = {
    hiddenSize: reader.int("hidden_size", 768),
    intermediateSize: reader.int("intermediate_size", 3072),
    layers: reader.layers("num_hidden_layers", 12),
    heads: reader.int("num_attention_heads", 12),
    imageSize: reader.int("image_size", 224),
    patchSize: reader.int("patch_size", 32),
    activation: reader.oneOf("hidden_act", ["quick_gelu", "gelu"], "quick_gelu"),
    layerNormEps: reader.number("layer_norm_eps", 1e-5),
  };
  const divides = (a: number, b: number): boolean => a % b === 0;
  check(
    divides(config.imageSize, config.patchSize) && divides(config.hiddenSize, config.heads),
    "bad-file",
    `${file}: image_size does not divide by patch_size, or hidden_size by num_attention_heads.`,
  );
  return config;
}
