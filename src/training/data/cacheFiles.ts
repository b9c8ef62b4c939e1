import { readSafetensors } from "../../formats/safetensors.js";
import { encodeSafetensors } from "../../formats/safetensorsWriter.js";
import { isUnfinished } from "../../platform/paths.js";
import type { Platform } from "../../platform/types.js";
import { fromFloat32, toFloat32 } from "../../tensor/convert.js";
import { DTYPE_BYTES } from "../../tensor/dtype.js";
import type { StoredTensor } from "../../tensor/stored.js";
import { sizeOf, type Tensor, tensor } from "../../tensor/tensor.js";
import { concurrently } from "../../util/concurrently.js";
import { check, invariant, TintypeError } from "../../util/errors.js";

/*
 * Files of a cache: one float16 tensor [n, ...] each, and what its rows are, as JSON. They are
 * written whole or not at all, so a cache that was interrupted has some of its files.
 */

/** Where a cache lies, and what its values follow from. */
export interface CacheOptions {
  readonly platform: Platform;
  /** Each cache has a folder of its own in it, so that none is taken for another. */
  readonly folder: string;
  /** What the values follow from besides the examples: a digest of the encoder's weights. */
  readonly key: string;
  /** Examples that `encode` is given at a time, always. */
  readonly batchSize: number;
  /** Examples a file holds, so as many are lost to an interruption; 1024 by default. */
  readonly fileSize?: number | undefined;
  /** Told after each batch how many examples are done. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export const FILE_SIZE = 1024;

/** Reads of one batch that are under way at once. */
const AT_ONCE = 16;

/** A file of a cache. */
export interface CacheFile {
  readonly values: StoredTensor;
  /** What was written with it. */
  readonly about: unknown;
}

/** One row of a file. */
export interface Row {
  readonly values: StoredTensor;
  readonly at: number;
}

/** The folder for what follows from these words, made if need be. */
export async function cacheFolder(
  { platform, folder }: CacheOptions,
  words: readonly string[],
): Promise<string> {
  const hash = platform.hash("sha256");
  hash.update(new TextEncoder().encode(JSON.stringify(words)));
  const path = `${platform.resolve(folder)}/${(await hash.digest()).slice(0, 16)}`;
  await platform.files.makeFolder(path);
  return path;
}

/**
 * Waits until no other process fills this cache, and keeps others out. Removes what one that was
 * killed left half written.
 */
export async function lockCache(
  { platform, signal }: CacheOptions,
  folder: string,
): Promise<AsyncDisposable> {
  const lock = await platform.lock(`${folder}/lock`, { signal });
  for (const name of await platform.files.list(folder)) {
    if (isUnfinished(name)) await platform.files.remove(`${folder}/${name}`);
  }
  return lock;
}

/** A file that is there and whole; undefined otherwise. */
export async function readCacheFile(
  platform: Platform,
  path: string,
): Promise<CacheFile | undefined> {
  if ((await platform.stat(path)) === undefined) return undefined;
  try {
    const { tensors, metadata } = await readSafetensors(await platform.openFile(path));
    const values = tensors.get("values");
    if (values === undefined || metadata.about === undefined) return undefined;
    return { values, about: JSON.parse(metadata.about) };
  } catch (error) {
    // Damaged: it is made again.
    if (error instanceof TintypeError && error.code !== "bad-file") throw error;
    return undefined;
  }
}

/** Writes values [n, ...] as float16. Throws "bad-argument" for what it cannot hold. */
export async function writeCacheFile(
  platform: Platform,
  path: string,
  parts: readonly Tensor[],
  about: unknown,
): Promise<void> {
  const rows = parts.reduce((n, { shape }) => n + shape[0]!, 0);
  const shape = [rows, ...(parts[0]?.shape.slice(1) ?? [])];
  const bytes = parts.map(({ data }) => {
    const beyond = data.find((x) => !(Math.abs(x) < 65520));
    check(
      beyond === undefined,
      "bad-argument",
      `${path}: a value of ${beyond} does not fit float16. The encoder seems to be broken.`,
    );
    return fromFloat32(data, "f16");
  });
  const values = { dtype: "f16", shape, bytes } as const;
  const metadata = { about: JSON.stringify(about) };
  const file = await encodeSafetensors(new Map([["values", values]]), metadata);
  await platform.files.writeAtomically(path, file);
}

/** Rows of one shape as [n, ...], float32. */
export async function readRows(rows: readonly Row[]): Promise<Tensor> {
  const shape = rows[0]?.values.shape.slice(1) ?? [];
  const size = sizeOf(shape);
  const data = new Float32Array(rows.length * size);
  await concurrently(
    rows,
    AT_ONCE,
    async ({ values: { source, offset, shape: own, dtype }, at }, i) => {
      invariant(`${own.slice(1)}` === `${shape}`, `cache: rows of [${own}] and [?,${shape}]`);
      const length = size * DTYPE_BYTES[dtype];
      data.set(toFloat32(await source.read(offset + at * length, length), dtype), i * size);
    },
  );
  return tensor([rows.length, ...shape], data);
}
