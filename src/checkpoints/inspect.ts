import type { DType } from "../tensor/dtype.js";
import type { StoredTensors } from "../tensor/stored.js";
import { sizeOf } from "../tensor/tensor.js";
import { type Manifest, weightDifferences } from "./checkWeights.js";
import { type Finding, findFamily } from "./families.js";
import type { Component, IgnoredKeys, ModelFiles, Prediction } from "./types.js";

/** Sizes of some tensors. */
export interface TensorSummary {
  readonly tensors: number;
  readonly parameters: number;
  /** Bytes in the file. */
  readonly bytes: number;
  /** Parameters by element type. */
  readonly dtypes: Readonly<Partial<Record<DType, number>>>;
}

/** Counts tensors, parameters, bytes and element types. */
export function summarize(tensors: StoredTensors): TensorSummary {
  const dtypes: Partial<Record<DType, number>> = {};
  let parameters = 0;
  let bytes = 0;
  for (const tensor of tensors.values()) {
    const size = sizeOf(tensor.shape);
    parameters += size;
    bytes += tensor.length;
    dtypes[tensor.dtype] = (dtypes[tensor.dtype] ?? 0) + size;
  }
  return { tensors: tensors.size, parameters, bytes, dtypes };
}

/** One network of a model. */
export interface ComponentSummary extends TensorSummary {
  readonly file: string;
  readonly config: unknown;
  /** Keys, as the file names them, that its model asks for in vain; empty without a manifest. */
  readonly missing: readonly string[];
  /** Keys that its model does not know. */
  readonly unknown: readonly string[];
  /** Keys whose shape is not what its model asks for. */
  readonly wrongShape: readonly string[];
}

/** What `tintype inspect` tells of a model that runs. */
export interface ModelSummary {
  readonly name: string;
  readonly family: string;
  readonly prediction: Prediction | "probe";
  readonly predictionSource: string;
  readonly sampler: unknown;
  readonly components: Readonly<Record<"unet" | "vae" | "text", ComponentSummary>>;
  readonly ignored: readonly IgnoredKeys[];
  readonly problems: readonly string[];
}

/** Parameters that the three models ask for, where they have been traced. */
export type Manifests = Readonly<Partial<Record<"unet" | "vae" | "text", Manifest>>>;

function summarizeComponent(
  component: Component<unknown>,
  manifest: Manifest | undefined,
): ComponentSummary {
  const differences = manifest && weightDifferences(manifest, component);
  const keys = (names: readonly string[] | undefined) =>
    (names ?? []).map((name) => component.fileKey(name));
  return {
    ...summarize(component.weights),
    file: component.file,
    config: component.config,
    missing: keys(differences?.missing),
    unknown: keys(differences?.surplus),
    wrongShape: keys(differences?.wrongShape),
  };
}

/** Everything there is to tell about a model without loading a weight. */
export function inspectModel(model: ModelFiles, manifests: Manifests = {}): ModelSummary {
  return {
    name: model.name,
    family: model.family,
    prediction: model.prediction,
    predictionSource: model.predictionSource,
    sampler: model.scheduler._class_name,
    components: {
      unet: summarizeComponent(model.unet, manifests.unet),
      vae: summarizeComponent(model.vae, manifests.vae),
      text: summarizeComponent(model.text, manifests.text),
    },
    ignored: model.ignored,
    problems: model.problems,
  };
}

/** What `tintype inspect` tells of any weights file, one that does not run included. */
export interface FileSummary extends TensorSummary, Finding {
  readonly name: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** The first keys, for a file that nothing recognises. */
  readonly firstKeys: readonly string[];
}

/** Family and sizes of any weights file. */
export function inspectFile(
  name: string,
  file: {
    readonly tensors: StoredTensors;
    readonly metadata: Readonly<Record<string, string>>;
  },
): FileSummary {
  return {
    name,
    ...findFamily(file.tensors),
    ...summarize(file.tensors),
    metadata: file.metadata,
    firstKeys: [...file.tensors.keys()].slice(0, 8),
  };
}
