import type { StoredTensor, StoredTensors } from "../tensor/stored.js";
import { type Folder, readJson } from "../util/bytes.js";
import { TintypeError } from "../util/errors.js";
import { readTensorFile } from "./readTensorFile.js";
import type { TensorFile } from "./tensorFile.js";

function fail(who: string, what: string): never {
  throw new TintypeError("bad-file", `${who}: ${what}`);
}

/** A shard lies in the index's folder or below it; anything else could reach the user's other files. */
function isInside(path: string): boolean {
  const parts = path.split("/");
  return (
    !/[\\:\0]/.test(path) && parts.every((part) => part !== "" && part !== "." && part !== "..")
  );
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The index's tensor names, and the shard of each. */
function parseWeightMap(who: string, index: unknown): ReadonlyMap<string, string> {
  const map = isObject(index) ? index.weight_map : undefined;
  if (!isObject(map)) fail(who, "expected a weight_map from tensor names to files, got none.");
  const shards = new Map<string, string>();
  for (const [name, file] of Object.entries(map)) {
    const tensor = JSON.stringify(name);
    if (typeof file !== "string")
      fail(who, `weight_map ${tensor} is no file name. Download it again.`);
    if (!isInside(file)) {
      fail(
        who,
        `weight_map ${tensor} points to ${JSON.stringify(file)}, outside the model's folder.`,
      );
    }
    shards.set(name, file);
  }
  if (shards.size === 0) fail(who, "its weight_map is empty. Download it again.");
  return shards;
}

function parseMetadata(index: unknown): Readonly<Record<string, string>> {
  const metadata = isObject(index) && isObject(index.metadata) ? index.metadata : {};
  const entries = Object.entries(metadata).map(([key, value]): [string, string] => {
    return [key, typeof value === "string" ? value : JSON.stringify(value)];
  });
  return Object.fromEntries(entries);
}

async function readShard(
  folder: Folder,
  files: ReadonlySet<string>,
  indexPath: string,
  path: string,
): Promise<StoredTensors> {
  if (!files.has(path)) {
    throw new TintypeError(
      "not-found",
      `${folder.name}: ${indexPath} names the shard ${path}, which is not there. Download it.`,
    );
  }
  return (await readTensorFile(await folder.open(path))).tensors;
}

/**
 * Reads a model in several files by its index (`*.safetensors.index.json`,
 * `pytorch_model.bin.index.json`), of which `indexPath` is the path in `folder`. Tensors come out
 * shard by shard, in file order. A tensor that the index leaves out is taken from the shard that
 * has it, so that whoever uses the model can name what is surplus.
 * Throws "not-found" for a missing shard; "bad-file" for a tensor that is not in its shard, for one
 * that two shards have and the index leaves out, and for paths that leave the folder.
 */
export async function readSharded(folder: Folder, indexPath: string): Promise<TensorFile> {
  const source = await folder.open(indexPath);
  const index = await readJson(source);
  const weightMap = parseWeightMap(source.name, index);
  const parent = indexPath.slice(0, indexPath.lastIndexOf("/") + 1);
  const files = new Set(await folder.list());
  const tensors = new Map<string, StoredTensor>();
  for (const file of [...new Set(weightMap.values())].sort()) {
    const path = parent + file;
    for (const [name, tensor] of await readShard(folder, files, indexPath, path)) {
      const home = weightMap.get(name);
      if (home !== undefined && home !== file) continue;
      if (tensors.has(name))
        fail(source.name, `two shards have ${JSON.stringify(name)}, ${path} too.`);
      tensors.set(name, tensor);
    }
  }
  for (const [name, file] of weightMap) {
    if (tensors.has(name)) continue;
    const where = `tensor ${JSON.stringify(name)} should be in ${parent}${file}, which lacks it`;
    fail(source.name, `${where}. The shards belong to another index: download the model again.`);
  }
  return { tensors, metadata: parseMetadata(index) };
}
