import { type Component, loadModelFiles, loadVae, type ModelFiles } from "../checkpoints/index.js";
import { type ResolvedModel, resolveModel } from "../hub/index.js";
import type { VaeConfig } from "../models/vae/config.js";
import { readTensor } from "../tensor/convert.js";
import type { StoredTensors } from "../tensor/stored.js";
import type { ByteSource, Folder } from "../util/bytes.js";
import { check, TintypeError } from "../util/errors.js";
import type { TaskContext } from "./task.js";
import type { Weights } from "./weights.js";

/*
 * What settings name by a file, a folder, or a Hugging Face id, as `generate` takes them.
 */

/**
 * Opens what the settings name at `key`, with errors that say so. Where these advise an option of
 * `generate`, which trainings lack or mean otherwise, they advise to name `instead`.
 */
export async function named<T>(
  key: string,
  open: () => Promise<T>,
  instead = "a diffusers folder",
): Promise<T> {
  try {
    return await open();
  } catch (cause) {
    if (!(cause instanceof TintypeError) || cause.code === "aborted") throw cause;
    const advice = cause.advice === undefined ? {} : { advice: `Name ${instead} in "${key}".` };
    throw new TintypeError(cause.code, `${key}: ${cause.problem}`, { cause, ...advice });
  }
}

const contentOf = (model: ResolvedModel): Folder | ByteSource =>
  model.kind === "folder" ? model.folder : model.source;

/** The whole model that REF, found at `key`, names. */
export function findModel(key: string, ref: string, context: TaskContext): Promise<ModelFiles> {
  const { platform, notice, signal } = context;
  const open = async (): Promise<ModelFiles> => {
    const found = await resolveModel(ref, { platform, notice, signal });
    const yaml = found.kind === "file" && found.yaml ? { yaml: found.yaml } : {};
    return await loadModelFiles(contentOf(found), yaml);
  };
  return named(key, open, "a diffusers folder of the whole model");
}

/** The autoencoder that REF, found at `key`, names, alone or in a model. */
export function findVae(
  key: string,
  ref: string,
  context: TaskContext,
): Promise<Component<VaeConfig>> {
  const { platform, notice, signal } = context;
  const open = async (): Promise<Component<VaeConfig>> => {
    const found = await resolveModel(ref, { platform, notice, signal, components: ["vae"] });
    return await loadVae(contentOf(found));
  };
  return named(key, open, "a diffusers folder of this autoencoder");
}

/** The folder that REF names. */
export async function openFolder(ref: string, context: TaskContext): Promise<Folder> {
  const { platform, notice, signal } = context;
  const components = ["text_encoder", "tokenizer"];
  const found = await resolveModel(ref, { platform, notice, signal, components });
  check(found.kind === "folder", "bad-argument", `${ref}: expected a folder, got a file.`);
  return found.folder;
}

/** Brings stored weights into memory, as float32. */
export async function readWeights(stored: StoredTensors): Promise<Weights> {
  const weights = new Map();
  for (const [name, tensor] of stored) weights.set(name, await readTensor(tensor));
  return weights;
}
