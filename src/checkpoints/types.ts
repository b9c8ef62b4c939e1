import type { ClipTextConfig } from "../models/clip/config.js";
import type { UNetConfig } from "../models/unet/config.js";
import type { VaeConfig } from "../models/vae/config.js";
import type { StoredTensors } from "../tensor/stored.js";
import type { JsonObject } from "./configReader.js";
import type { ModelFamily } from "./families.js";

/** What a network predicts, by diffusers' names. */
export type Prediction = "epsilon" | "v_prediction" | "sample";

/** One network of a model: its config, and where its weights lie. */
export interface Component<C> {
  readonly config: C;
  /** By canonical name: what the models ask for. */
  readonly weights: StoredTensors;
  /** What messages call the file. */
  readonly file: string;
  /** What the file calls a weight. */
  fileKey(name: string): string;
}

/** Contents of a tokenizer's files by name: tokenizer.json, vocab.json, merges.txt... */
export type TokenizerFiles = Readonly<Record<string, string>>;

/** How a model likes its pictures made; what it leaves open, Tintype decides. */
export interface SamplingDefaults {
  /** Denoising steps. */
  readonly steps?: number | undefined;
  /** Strength of classifier-free guidance. */
  readonly guidanceScale?: number | undefined;
  /** A sampler's name; scheduler_config.json decides without. */
  readonly sampler?: string | undefined;
}

/** Keys of a file that no model needs, and why. */
export interface IgnoredKeys {
  readonly rule: string;
  readonly keys: readonly string[];
}

/** A whole model, found but not loaded: every weight is still in its file. */
export interface ModelFiles {
  readonly family: ModelFamily;
  /** The file or folder, as messages call it. */
  readonly name: string;
  readonly unet: Component<UNetConfig>;
  readonly vae: Component<VaeConfig>;
  readonly text: Component<ClipTextConfig>;
  /** Files of the model's own tokenizer, or CLIP's vocabulary padded with its end token or with token 0. */
  readonly tokenizer: TokenizerFiles | "clip" | "openclip";
  /** diffusers' scheduler_config.json, as the model came with it or as was published. */
  readonly scheduler: JsonObject;
  /** "probe" where only a run of the network can tell: see predictionFromProbe, withPrediction. */
  readonly prediction: Prediction | "probe";
  /** What its model_index.json says under `_tintype`. */
  readonly defaults?: SamplingDefaults | undefined;
  /** What decided the prediction, in words. */
  readonly predictionSource: string;
  readonly ignored: readonly IgnoredKeys[];
  /** What a person may want to know but that keeps nothing from running. */
  readonly problems: readonly string[];
}
