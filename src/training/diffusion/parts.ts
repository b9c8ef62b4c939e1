import {
  checkFit,
  familyOf,
  loadTextEncoder,
  type ModelFiles,
  type SamplingDefaults,
  type TokenizerFiles,
  tokenizerFiles,
  tokenizerOf,
} from "../../checkpoints/index.js";
import { type PredictionType, parseSchedulerConfig, planSampling } from "../../diffusion/index.js";
import type { ClipTextConfig } from "../../models/clip/config.js";
import type { UNetConfig } from "../../models/unet/config.js";
import type { VaeConfig } from "../../models/vae/config.js";
import { type StoredTensors, storedInMemory } from "../../tensor/stored.js";
import type { Tokenizer } from "../../text/index.js";
import { check } from "../../util/errors.js";
import { checkHeads, checkUNet } from "../modelConfig.js";
import { findModel, findVae, named, openFolder } from "../pretrained.js";
import type { TaskContext } from "../task.js";
import { tokenizerNamed } from "../tokenizer.js";
import { initialWeights, textParameters, unetParameters } from "../weights.js";
import type { DiffusionConfig, NewModelConfig, NoiseConfig } from "./config.js";

/** A network to begin with. */
export interface Network<C> {
  readonly config: C;
  readonly weights: StoredTensors;
}

/** A model to begin with: the networks, and everything that its folder says besides. */
export interface DiffusionParts {
  readonly name: string;
  readonly unet: Network<UNetConfig>;
  readonly text: Network<ClipTextConfig>;
  readonly vae: Network<VaeConfig>;
  readonly tokenizer: Tokenizer;
  readonly tokenizerFiles: TokenizerFiles;
  /** scheduler_config.json, with what the network will predict. */
  readonly scheduler: ModelFiles["scheduler"] & { readonly _class_name: string };
  readonly prediction: PredictionType;
  /** Settings of pictures that a checkpoint recommends. */
  readonly defaults?: SamplingDefaults | undefined;
}

/**
 * The checkpoint that the config names, or a new model with weights from its seed. Throws
 * "bad-argument" or "unsupported" for settings that no picture could be made with.
 */
export async function diffusionParts(
  config: Pick<DiffusionConfig, "from" | "model" | "prediction" | "seed" | "text" | "sampling">,
  context: TaskContext,
): Promise<DiffusionParts> {
  const { from, model } = config;
  check(
    (from === undefined) !== (model === undefined),
    "bad-argument",
    'settings: expected one of "from" (a checkpoint to go on with) and "model" (a new one), ' +
      `got ${from === undefined ? "neither" : "both"}.`,
  );
  const parts =
    from !== undefined
      ? await partsOfCheckpoint(from, config.prediction, context)
      : await newParts(model!, config, context);
  checkFit(parts.name, parts.unet.config, parts.vae.config, parts.text.config);
  const { inChannels } = parts.unet.config;
  check(
    inChannels === parts.vae.config.latentChannels,
    "unsupported",
    `${parts.name}: the UNet takes ${inChannels} channels, as inpainting models do. Tintype trains ` +
      "models that make pictures from text alone.",
  );
  const scheduler = parseSchedulerConfig(parts.name, parts.scheduler);
  planSampling({ ...config.sampling, config: scheduler, prediction: parts.prediction });
  return parts;
}

async function partsOfCheckpoint(
  from: string,
  prediction: PredictionType | undefined,
  context: TaskContext,
): Promise<DiffusionParts> {
  const found = await findModel("from", from, context);
  const known = found.prediction === "probe" ? undefined : found.prediction;
  const told = prediction ?? known;
  check(
    told !== undefined,
    "bad-argument",
    `${from}: nothing in its files says what the network predicts. Set "prediction": "epsilon", or ` +
      '"v_prediction" for the 768-pixel models of Stable Diffusion 2.',
  );
  const files = await tokenizerFiles(found.tokenizer);
  const className = found.scheduler._class_name;
  return {
    ...found,
    tokenizer: tokenizerOf(found.name, files, found.text.config.maxPositions),
    tokenizerFiles: files,
    scheduler: {
      ...found.scheduler,
      _class_name: typeof className === "string" ? className : "DDIMScheduler",
      prediction_type: told,
    },
    prediction: told,
  };
}

async function newParts(
  model: NewModelConfig,
  {
    prediction = "epsilon",
    seed,
    text: training,
  }: Pick<DiffusionConfig, "prediction" | "seed" | "text">,
  context: TaskContext,
): Promise<DiffusionParts> {
  const vae = await findVae("model.vae", model.vae, context);
  const reader = await textEncoder(model, seed, training.train, context);
  const unet: UNetConfig = {
    ...model.unet,
    inChannels: vae.config.latentChannels,
    outChannels: vae.config.latentChannels,
    crossAttentionDim: reader.text.config.hiddenSize,
  };
  checkUNet("model.unet", unet);
  return {
    name: "the new model",
    unet: {
      config: unet,
      weights: storedInMemory(initialWeights(unetParameters(unet).values(), seed)),
    },
    ...reader,
    vae,
    scheduler: schedulerJson(model.noise, prediction),
    prediction,
  };
}

/** The text encoder of a folder, or a new one for a tokenizer. */
async function textEncoder(
  { text, tokenizer: name }: NewModelConfig,
  seed: number,
  train: boolean,
  context: TaskContext,
): Promise<Pick<DiffusionParts, "text" | "tokenizer" | "tokenizerFiles">> {
  if (typeof text === "string") {
    return await named("model.text", async () => {
      const found = await loadTextEncoder(await openFolder(text, context));
      const { maxPositions } = found.text.config;
      const tokenizer = tokenizerOf(text, found.tokenizer, maxPositions);
      return { text: found.text, tokenizer, tokenizerFiles: found.tokenizer };
    });
  }
  check(
    train,
    "bad-argument",
    'model.text: a new text encoder knows nothing. Set "text": { "train": true }, or name a folder.',
  );
  check(
    name !== undefined,
    "bad-argument",
    'model.tokenizer: name a folder that has a "tokenizer" folder in it, or "postcards".',
  );
  checkHeads("model.text", text);
  const { tokenizer, files } = await tokenizerNamed("model.tokenizer", name, context);
  const { vocabSize, maxLength } = tokenizer;
  const config = { ...text, vocabSize, maxPositions: maxLength };
  const weights = storedInMemory(initialWeights(textParameters(config).values(), seed));
  return { text: { config, weights }, tokenizer, tokenizerFiles: files };
}

/** A scheduler that every program knows, for noise as it was in training. */
function schedulerJson(
  noise: NoiseConfig,
  prediction: PredictionType,
): DiffusionParts["scheduler"] {
  return {
    _class_name: "DDIMScheduler",
    beta_end: noise.betaEnd,
    beta_schedule: noise.schedule,
    beta_start: noise.betaStart,
    clip_sample: false,
    num_train_timesteps: noise.timesteps,
    prediction_type: prediction,
    rescale_betas_zero_snr: noise.zeroTerminalSnr,
    set_alpha_to_one: false,
    steps_offset: 1,
    timestep_spacing: noise.zeroTerminalSnr ? "trailing" : "leading",
  };
}

/** The parts as files in memory, with other weights of what was trained. */
export function modelFiles(
  parts: DiffusionParts,
  trained: { readonly unet: StoredTensors; readonly text: StoredTensors },
): ModelFiles {
  const { unet, text, vae } = parts;
  const file = "the model in training";
  const fileKey = (name: string): string => name;
  return {
    family: familyOf(unet.config, vae.config, text.config),
    name: file,
    unet: { config: unet.config, weights: trained.unet, file, fileKey },
    text: { config: text.config, weights: trained.text, file, fileKey },
    vae: { config: vae.config, weights: vae.weights, file, fileKey },
    tokenizer: parts.tokenizerFiles,
    scheduler: parts.scheduler,
    prediction: parts.prediction,
    predictionSource: "the training's settings",
    ignored: [],
    problems: [],
  };
}
