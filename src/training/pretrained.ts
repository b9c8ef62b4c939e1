import { type Component, loadModelFiles, loadVae, type ModelFiles } from "../checkpoints/index.js";
import { type ResolvedModel, resolveModel } from "../hub/index.js";
import type { VaeConfig } from "../models/vae/config.js";
import { readTensor } from "../tensor/convert.js";
import type { StoredTensors } from "../tensor/stored.js";
import type { ByteSource, Folder } from "../util/bytes.js";
import { check } from "../util/errors.js";
import type { TaskContext } from "./task.js";
import type { Weights } from "./weights.js";

/*
 * Checkpoints to begin with: a file, a folder, or a Hugging Face id, as `generate` takes them.
 */

const contentOf = (model: ResolvedModel): Folder | ByteSource =>
  model.kind === "folder" ? model.folder : model.source;

/** The whole model that REF names. */
export async function findModel(ref: string, context: TaskContext): Promise<ModelFiles> {
  const { platform, notice, signal } = context;
  const found = await resolveModel(ref, { platform, notice, signal });
  const yaml = found.kind === "file" && found.yaml ? { yaml: found.yaml } : {};
  return await loadModelFiles(contentOf(found), yaml);
}

/** The autoencoder that REF names, alone or in a model. */
export async function findVae(ref: string, context: TaskContext): Promise<Component<VaeConfig>> {
  const { platform, notice, signal } = context;
  return loadVae(
    contentOf(await resolveModel(ref, { platform, notice, signal, components: ["vae"] })),
  );
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
