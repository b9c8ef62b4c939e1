import type { ClipTextConfig } from "../models/clip/config.js";
import type { UNetConfig } from "../models/unet/config.js";
import type { VaeConfig } from "../models/vae/config.js";
import { type Folder, readJson, readText } from "../util/bytes.js";
import { TintypeError } from "../util/errors.js";
import { type JsonObject, jsonObject, show } from "./configReader.js";
import {
  type ParsedConfig,
  parseClipConfig,
  parseUNetConfig,
  parseVaeConfig,
} from "./diffusersConfig.js";
import { samplingDefaultsOf } from "./samplingDefaults.js";
import type { SamplingDefaults, TokenizerFiles } from "./types.js";

const PIPELINES = [
  "StableDiffusionPipeline",
  "StableDiffusionImg2ImgPipeline",
  "StableDiffusionInpaintPipeline",
  "StableDiffusionInpaintPipelineLegacy",
];

/** Components that a model needs, and the classes that run. No list: any class. */
const COMPONENTS: readonly (readonly [name: string, classes?: readonly string[]])[] = [
  ["unet", ["UNet2DConditionModel"]],
  ["vae", ["AutoencoderKL"]],
  ["text_encoder", ["CLIPTextModel"]],
  ["tokenizer", ["CLIPTokenizer", "CLIPTokenizerFast"]],
  ["scheduler"],
];

/** Files of a tokenizer that are passed along. */
export const TOKENIZER_FILES: readonly string[] = [
  "tokenizer.json",
  "vocab.json",
  "merges.txt",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
];

/** The JSON object in a file of the folder, and what messages call that file. */
export async function readObject(folder: Folder, path: string): Promise<[JsonObject, string]> {
  const source = await folder.open(path);
  return [jsonObject(await readJson(source), source.name), source.name];
}

/** What a folder without model_index.json is, as well as its files tell. */
function noModelIndex(folder: Folder, paths: readonly string[]): TintypeError {
  const lost = `${folder.name}: no model_index.json, so it is no diffusers folder of a whole model.`;
  const single = paths.find((path) => /^[^/]+\.(safetensors|ckpt)$/.test(path));
  if (paths.length === 0) {
    return new TintypeError(
      "not-found",
      `${folder.name}: the folder is empty. Name a diffusers folder, which has a model_index.json, or a single file.`,
    );
  }
  if (paths.includes("adapter_config.json")) {
    return new TintypeError("unsupported", `${lost} It holds a LoRA, which needs a model.`);
  }
  if (paths.includes("config.json")) {
    return new TintypeError("not-found", `${lost} It holds one component: pass the folder above.`);
  }
  const advice = single === undefined ? "" : ` To use a single file, name it: "${single}".`;
  return new TintypeError("not-found", lost + advice);
}

/** Throws unless model_index.json names a pipeline and components that run. */
export async function checkModelIndex(folder: Folder, paths: readonly string[]): Promise<void> {
  if (!paths.includes("model_index.json")) throw noModelIndex(folder, paths);
  const [index, file] = await readObject(folder, "model_index.json");
  const pipeline = index._class_name;
  if (!PIPELINES.includes(pipeline as string)) {
    throw new TintypeError(
      "unsupported",
      `${file}: the pipeline ${show(pipeline)} is none that this version runs. ` +
        `Supported: ${PIPELINES.join(", ")}.`,
    );
  }
  for (const [name, classes] of COMPONENTS) {
    const entry = index[name];
    const className: unknown = Array.isArray(entry) ? entry[1] : undefined;
    if (typeof className !== "string") {
      throw new TintypeError("not-found", `${file}: the component "${name}" is missing.`);
    }
    if (classes === undefined || classes.includes(className)) continue;
    throw new TintypeError(
      "unsupported",
      `${file}: ${name} is of class ${className}, which this version does not run. ` +
        `Supported: ${classes.join(", ")}.`,
    );
  }
}

/** Everything that a diffusers folder says besides its weights. */
export interface FolderConfigs {
  readonly unet: ParsedConfig<UNetConfig>;
  readonly vae: ParsedConfig<VaeConfig>;
  readonly text: ParsedConfig<ClipTextConfig>;
  readonly scheduler: JsonObject;
  readonly schedulerFile: string;
  readonly tokenizer: TokenizerFiles;
  readonly defaults: SamplingDefaults;
}

/** The files in a folder's `tokenizer/`. Throws "not-found" where they are not enough. */
export async function readTokenizer(
  folder: Folder,
  paths: readonly string[],
): Promise<TokenizerFiles> {
  const files: Record<string, string> = {};
  for (const name of TOKENIZER_FILES) {
    if (!paths.includes(`tokenizer/${name}`)) continue;
    files[name] = await readText(await folder.open(`tokenizer/${name}`));
  }
  const isWhole = "tokenizer.json" in files || ("vocab.json" in files && "merges.txt" in files);
  if (isWhole) return files;
  throw new TintypeError(
    "not-found",
    `${folder.name}: tokenizer: expected tokenizer.json, or vocab.json and merges.txt, ` +
      `got ${Object.keys(files).join(", ") || "nothing"}.`,
  );
}

/** Reads the configs, scheduler and tokenizer of a diffusers folder; its weights are left alone. */
export async function readFolderConfigs(folder: Folder): Promise<FolderConfigs> {
  const paths = await folder.list();
  const config = async <C>(
    component: string,
    parse: (json: JsonObject, file: string) => ParsedConfig<C>,
  ): Promise<ParsedConfig<C>> => {
    const path = `${component}/config.json`;
    if (!paths.includes(path)) {
      throw new TintypeError("not-found", `${folder.name}: "${path}" is missing.`);
    }
    return parse(...(await readObject(folder, path)));
  };
  const schedulerPath = "scheduler/scheduler_config.json";
  if (!paths.includes(schedulerPath)) {
    throw new TintypeError("not-found", `${folder.name}: "${schedulerPath}" is missing.`);
  }
  const [scheduler, schedulerFile] = await readObject(folder, schedulerPath);
  return {
    unet: await config("unet", parseUNetConfig),
    vae: await config("vae", parseVaeConfig),
    text: await config("text_encoder", parseClipConfig),
    scheduler,
    schedulerFile,
    tokenizer: await readTokenizer(folder, paths),
    defaults: paths.includes("model_index.json")
      ? samplingDefaultsOf(...(await readObject(folder, "model_index.json")))
      : {},
  };
}
