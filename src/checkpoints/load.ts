import { readSharded, readTensorFile } from "../formats/index.js";
import type { ClipTextConfig } from "../models/clip/config.js";
import type { UNetConfig } from "../models/unet/config.js";
import type { VaeConfig } from "../models/vae/config.js";
import type { StoredTensors } from "../tensor/stored.js";
import { type ByteSource, type Folder, readText } from "../util/bytes.js";
import { TintypeError } from "../util/errors.js";
import { transformersClipRules } from "./clipKeys.js";
import { type Extracted, extract, surplusKeys } from "./component.js";
import { parseClipConfig, parseVaeConfig } from "./diffusersConfig.js";
import { FAMILY_TITLES, type ModelFamily, runnableFamily } from "./families.js";
import {
  checkModelIndex,
  type FolderConfigs,
  readFolderConfigs,
  readObject,
  readTokenizer,
} from "./folder.js";
import { sortKeys } from "./ignoredKeys.js";
import {
  findPrediction,
  type PredictionFinding,
  predictionOfScheduler,
  publishedSampleSize,
  publishedScheduler,
} from "./prediction.js";
import { splitSingleFile } from "./singleFile.js";
import type { Component, IgnoredKeys, ModelFiles, Prediction, TokenizerFiles } from "./types.js";
import { vaeFromFile } from "./vaeFile.js";
import { diffusersVaeRules } from "./vaeKeys.js";
import { type ComponentName, requireWeights } from "./weightFiles.js";

export interface LoadOptions {
  /** A diffusers folder that says what a single file cannot; its weights are not read. */
  readonly config?: Folder;
  /** Another VAE: a file, a component's folder, or a whole diffusers folder. */
  readonly vae?: Folder | ByteSource;
  /** What the network predicts: "auto" finds out. */
  readonly prediction?: "auto" | "eps" | "v";
  /** Which weights of a diffusers folder to take, such as "fp16". */
  readonly variant?: string;
  /** The .yaml that lies beside a single file, if any. */
  readonly yaml?: ByteSource;
}

function isFolder(source: Folder | ByteSource): source is Folder {
  return "list" in source;
}

/** Tensors of one component, in one file or several. */
async function componentTensors(
  root: Folder,
  paths: readonly string[],
  component: ComponentName,
  variant: string | undefined,
  folder: string,
): Promise<[StoredTensors, file: string]> {
  const { path, sharded } = requireWeights(root.name, paths, component, variant, folder);
  if (sharded) return [(await readSharded(root, path)).tensors, `${root.name}/${path}`];
  const source = await root.open(path);
  return [(await readTensorFile(source)).tensors, source.name];
}

const identity = (key: string): string => key;

/** The part of a folder's VAE weights that a model may need, under today's names. */
function folderVae(tensors: StoredTensors, file: string, config: VaeConfig): Component<VaeConfig> {
  const { component, unknown } = extract(config, tensors, diffusersVaeRules(), file, identity);
  if (unknown.length > 0) throw surplusKeys(file, "a VAE", unknown);
  return component;
}

function folderText(
  tensors: StoredTensors,
  file: string,
  config: ClipTextConfig,
): Extracted<ClipTextConfig> & { readonly ignored: readonly IgnoredKeys[] } {
  const { kept, ignored } = sortKeys([...tensors.keys()], [""], Number.POSITIVE_INFINITY);
  const used = new Map([...tensors].filter(([key]) => kept.has(key)));
  const prefix = [...kept].some((key) => key.startsWith("text_model.")) ? "text_model." : "";
  return { ...extract(config, used, transformersClipRules(prefix), file, identity), ignored };
}

/**
 * An autoencoder: a file, a component's folder, or the one in a whole diffusers folder. `base` gives
 * what a lone file cannot tell; no weight is loaded. Throws "not-found" where there is none.
 */
export async function loadVae(
  source: Folder | ByteSource,
  base?: VaeConfig,
  variant?: string,
): Promise<Component<VaeConfig>> {
  if (!isFolder(source)) {
    return vaeFromFile((await readTensorFile(source)).tensors, source.name, base);
  }
  const paths = await source.list();
  const folder = ["", "vae/"].find((f) => paths.includes(`${f}config.json`));
  if (folder === undefined) {
    throw new TintypeError(
      "not-found",
      `${source.name}: expected a VAE's config.json or vae/config.json, got neither.`,
    );
  }
  const { config } = parseVaeConfig(...(await readObject(source, `${folder}config.json`)));
  const [tensors, file] = await componentTensors(source, paths, "vae", variant, folder);
  return folderVae(tensors, file, config);
}

/** A text encoder, and the files of its tokenizer. */
export interface TextEncoderFiles {
  readonly text: Component<ClipTextConfig>;
  readonly tokenizer: TokenizerFiles;
}

/**
 * The text encoder of a folder with `text_encoder/` and `tokenizer/`, as a whole model has them and
 * as a training of CLIP writes them; no weight is loaded. Throws "not-found" where it has none.
 */
export async function loadTextEncoder(folder: Folder, variant?: string): Promise<TextEncoderFiles> {
  const paths = await folder.list();
  const { config } = parseClipConfig(...(await readObject(folder, "text_encoder/config.json")));
  const tokenizer = await readTokenizer(folder, paths);
  const [tensors, file] = await componentTensors(
    folder,
    paths,
    "text_encoder",
    variant,
    "text_encoder/",
  );
  const { component, unknown } = folderText(tensors, file, config);
  if (unknown.length > 0) throw surplusKeys(file, "a CLIP text encoder", unknown);
  return { text: component, tokenizer };
}

/** The prediction type that the caller asked for, if any. */
function asked(prediction: "auto" | "eps" | "v" | undefined): PredictionFinding | undefined {
  if (prediction === undefined || prediction === "auto") return undefined;
  const told: Prediction = prediction === "v" ? "v_prediction" : "epsilon";
  return { prediction: told, source: "--prediction" };
}

/** The prediction type of a folder, and its scheduler's config in line with it. */
function folderScheduler(configs: FolderConfigs, options: LoadOptions) {
  const { scheduler, schedulerFile } = configs;
  const found = asked(options.prediction) ?? {
    prediction: predictionOfScheduler(scheduler, schedulerFile),
    source: schedulerFile,
  };
  const isSame = (scheduler.prediction_type ?? "epsilon") === found.prediction;
  return {
    prediction: found.prediction,
    predictionSource: found.source,
    scheduler: isSame ? scheduler : { ...scheduler, prediction_type: found.prediction },
  };
}

/** Throws "mismatch" where the networks do not fit each other. */
export function checkFit(
  name: string,
  unet: UNetConfig,
  vae: VaeConfig,
  text: ClipTextConfig,
): void {
  const latents = vae.latentChannels;
  if (unet.inChannels !== latents && unet.inChannels !== 2 * latents + 1) {
    throw new TintypeError(
      "unsupported",
      `${name}: the UNet takes ${unet.inChannels} channels. Supported with this VAE: ${latents} ` +
        `(text to image) or ${2 * latents + 1} (inpainting).`,
    );
  }
  if (unet.outChannels !== latents) {
    throw new TintypeError(
      "mismatch",
      `${name}: the UNet gives ${unet.outChannels} channels, but the VAE's latents have ${latents}.`,
    );
  }
  if (unet.crossAttentionDim === text.hiddenSize) return;
  throw new TintypeError(
    "mismatch",
    `${name}: the UNet attends to a text of width ${unet.crossAttentionDim}, but the text ` +
      `encoder's width is ${text.hiddenSize}.`,
  );
}

/** The family that networks of these configs belong to. */
export function familyOf(unet: UNetConfig, vae: VaeConfig, text: ClipTextConfig): ModelFamily {
  const base = text.activation === "gelu" ? "sd2" : "sd1";
  return unet.inChannels === vae.latentChannels ? base : `${base}-inpaint`;
}

async function loadFolder(folder: Folder, options: LoadOptions): Promise<ModelFiles> {
  if (options.config !== undefined) {
    throw new TintypeError(
      "bad-argument",
      `--config is for single files; ${folder.name} is a diffusers folder, which has its own.`,
    );
  }
  const paths = await folder.list();
  await checkModelIndex(folder, paths);
  const configs = await readFolderConfigs(folder);
  const tensorsOf = (component: ComponentName) =>
    componentTensors(folder, paths, component, options.variant, `${component}/`);
  const [unetTensors, unetFile] = await tensorsOf("unet");
  const text = folderText(...(await tensorsOf("text_encoder")), configs.text.config);
  if (text.unknown.length > 0) {
    throw surplusKeys(text.component.file, "a CLIP text encoder", text.unknown);
  }
  const own = configs.vae.config;
  const vae =
    options.vae === undefined
      ? folderVae(...(await tensorsOf("vae")), own)
      : await loadVae(options.vae, own, options.variant);
  const unet = configs.unet.config;
  checkFit(folder.name, unet, vae.config, text.component.config);
  return {
    family: familyOf(unet, vae.config, text.component.config),
    name: folder.name,
    unet: { config: unet, weights: unetTensors, file: unetFile, fileKey: identity },
    vae,
    text: text.component,
    tokenizer: configs.tokenizer,
    defaults: configs.defaults,
    ...folderScheduler(configs, options),
    ignored: text.ignored,
    problems: [configs.unet, configs.vae, configs.text].flatMap((c) => c.problems),
  };
}

async function loadFile(source: ByteSource, options: LoadOptions): Promise<ModelFiles> {
  const { name } = source;
  const { tensors, metadata } = await readTensorFile(source);
  const family = runnableFamily(tensors, name);
  const configs = options.config && (await readFolderConfigs(options.config));
  const base = configs && {
    unet: configs.unet.config,
    vae: configs.vae.config,
    text: configs.text.config,
  };
  const { unet, vae: inside, text, keys } = splitSingleFile(tensors, name, family, base);
  if (keys.unknown.length > 0) throw surplusKeys(name, FAMILY_TITLES[family], keys.unknown);
  const vae = options.vae
    ? await loadVae(options.vae, base?.vae ?? inside?.config, options.variant)
    : inside;
  if (vae === undefined) {
    throw new TintypeError("mismatch", `${name}: holds no VAE.`, {
      advice: "Pass one with --vae.",
    });
  }
  checkFit(name, unet.config, vae.config, text.config);
  const yaml = options.yaml && (await readText(options.yaml));
  const told = configs
    ? folderScheduler(configs, options)
    : publishedSettings(family, options, tensors, metadata, yaml);
  const sampleSize = base?.unet.sampleSize ?? publishedSampleSize(family, told.prediction);
  return {
    family,
    name,
    unet: { ...unet, config: { ...unet.config, sampleSize } },
    vae,
    text,
    tokenizer: configs?.tokenizer ?? (family.startsWith("sd2") ? "openclip" : "clip"),
    defaults: configs?.defaults,
    ...told,
    ignored: keys.ignored,
    problems: [],
  };
}

/** Prediction type and scheduler of a single file that comes without a config. */
function publishedSettings(
  family: ModelFamily,
  options: LoadOptions,
  tensors: StoredTensors,
  metadata: Readonly<Record<string, string>>,
  yaml: string | undefined,
) {
  const found = asked(options.prediction) ?? findPrediction(family, tensors, metadata, yaml);
  return {
    prediction: found.prediction,
    predictionSource: found.source,
    scheduler: publishedScheduler(found.prediction, tensors.has("ztsnr")),
  };
}

/**
 * Finds everything a model is made of in a diffusers folder or a single LDM file, without loading
 * a weight: where each lies under its canonical name, configs, tokenizer, scheduler, prediction
 * type. Throws a TintypeError that names file and key for anything that will not run; whether the
 * weights are all there is checkWeights' to say, once the models have been traced.
 */
export function loadModelFiles(
  source: Folder | ByteSource,
  options: LoadOptions = {},
): Promise<ModelFiles> {
  return isFolder(source) ? loadFolder(source, options) : loadFile(source, options);
}
