import { concatBatch, sliceBatch } from "../../tensor/elementwise.js";
import type { Tensor } from "../../tensor/tensor.js";
import { oneAhead } from "../../util/concurrently.js";
import { check, throwIfAborted } from "../../util/errors.js";
import { oneLine } from "../../util/oneLine.js";
import {
  type CacheFile,
  type CacheOptions,
  cacheFolder,
  FILE_SIZE,
  lockCache,
  type Row,
  readCacheFile,
  readRows,
  writeCacheFile,
} from "./cacheFiles.js";
import { shuffledOrder } from "./order.js";
import { prefetch } from "./prefetch.js";
import type { Batch, BatchSource, Bucket, ExampleSet, Stepped } from "./types.js";

/** What an encoder made of the pictures of one step. */
export interface LatentBatch {
  /** As `encode` gave it, float16 in between: for an autoencoder moments [B,2C,h,w]. */
  readonly latents: Tensor;
  readonly captions: readonly string[];
  readonly names: readonly string[];
}

/** Which batches to make of a cache. */
export interface LatentOrder {
  readonly batchSize: number;
  readonly seed: number;
  /** Steps that are read ahead; 4 by default. */
  readonly ahead?: number | undefined;
}

/** The encoded examples of a source. */
export interface LatentCache {
  /** Where its files lie. */
  readonly folder: string;
  readonly size: number;
  /** The captions of all of them, in no special order. */
  readonly captions: readonly string[];
  /** Pictures that could not be read, and why. */
  readonly skipped: ReadonlyMap<string, string>;
  /** Batches of it, in the order that the source itself would have. */
  batches(order: LatentOrder): Stepped<LatentBatch>;
}

/** What a file says of its rows. */
interface About {
  readonly names: readonly string[];
  readonly captions: readonly string[];
  readonly skipped: readonly (readonly [name: string, reason: string])[];
}

/** Examples of one file. */
interface Part {
  readonly path: string;
  readonly bucket: Bucket;
  readonly numbers: readonly number[];
}

/**
 * Encodes every example of a finite source once and keeps the results on the disk, as float16. An
 * interrupted run goes on where it stopped; what is there already is not made again. `encode` is
 * always given `batchSize` pictures. Throws "bad-argument" for sources that are endless or look
 * different each time.
 */
export async function cacheLatents(
  source: BatchSource,
  encode: (batch: Batch) => Promise<Tensor>,
  options: CacheOptions,
): Promise<LatentCache> {
  const { platform, key } = options;
  const { examples } = source;
  check(
    examples !== undefined,
    "bad-argument",
    "data: latents can be cached for a finite set of pictures that always look the same. Give " +
      'postcards a "count"; leave out "crop" and "flip", and let "keep" be "center".',
  );
  const { fileSize = FILE_SIZE } = options;
  const words = ["latents", key, examples.fingerprint, String(fileSize)];
  const folder = await cacheFolder(options, words);
  const parts = partsOf(examples, folder, fileSize);
  await using _ = await lockCache(options, folder);
  const total = parts.reduce((n, { numbers }) => n + numbers.length, 0);
  const files: [Bucket, CacheFile][] = [];
  let done = 0;
  for (const part of parts) {
    const known = await readCacheFile(platform, part.path);
    if (known === undefined) {
      const report = (count: number): void => options.onProgress?.(done + count, total);
      await fill(part, source, examples, encode, options, report);
    }
    files.push([part.bucket, known ?? (await readCacheFile(platform, part.path))!]);
    done += part.numbers.length;
    options.onProgress?.(done, total);
  }
  return openCache(folder, files, source.skipped);
}

function partsOf({ buckets }: ExampleSet, folder: string, fileSize: number): Part[] {
  return buckets.flatMap((bucket) =>
    Array.from({ length: Math.ceil(bucket.members.length / fileSize) }, (_, i) => ({
      path: `${folder}/${bucket.width}x${bucket.height}-${String(i).padStart(5, "0")}.safetensors`,
      bucket,
      numbers: [...bucket.members.subarray(i * fileSize, (i + 1) * fileSize)],
    })),
  );
}

async function fill(
  { path, bucket, numbers }: Part,
  source: BatchSource,
  examples: ExampleSet,
  encode: (batch: Batch) => Promise<Tensor>,
  { platform, batchSize, signal }: CacheOptions,
  report: (count: number) => void,
): Promise<void> {
  const chunks = Array.from({ length: Math.ceil(numbers.length / batchSize) }, (_, i) =>
    numbers.slice(i * batchSize, (i + 1) * batchSize),
  );
  const before = new Set(source.skipped.keys());
  const values: Tensor[] = [];
  const [names, captions]: [string[], string[]] = [[], []];
  for await (const batch of oneAhead(chunks, (chunk) => examples.read(bucket, chunk))) {
    throwIfAborted(signal);
    const count = batch.names.length;
    if (count > 0) values.push(sliceBatch(await encode(padded(batch, batchSize)), 0, count));
    names.push(...batch.names);
    captions.push(...batch.captions);
    report(names.length);
  }
  const skipped = [...source.skipped].filter(([name]) => !before.has(name));
  await writeCacheFile(platform, path, values, { names, captions, skipped } satisfies About);
}

/** The batch with its first example repeated until it is whole. */
function padded({ images, captions, names }: Batch, size: number): Batch {
  const missing = size - names.length;
  if (missing === 0) return { images, captions, names };
  const first = sliceBatch(images, 0, 1);
  const fill = <T>(list: readonly T[]): T[] => [...list, ...Array<T>(missing).fill(list[0]!)];
  return {
    images: concatBatch([images, ...Array<Tensor>(missing).fill(first)]),
    captions: fill(captions),
    names: fill(names),
  };
}

interface Shelf {
  readonly size: readonly [width: number, height: number];
  readonly rows: Row[];
  readonly captions: string[];
  readonly names: string[];
}

/** `unread` were left out before anything was encoded, or now. */
function openCache(
  folder: string,
  files: readonly (readonly [Bucket, CacheFile])[],
  unread: ReadonlyMap<string, string>,
): LatentCache {
  const shelves = new Map<Bucket, Shelf>();
  const skipped = new Map(unread);
  for (const [bucket, { values, about }] of files) {
    const { names, captions, skipped: broken } = about as About;
    const size = [bucket.width, bucket.height] as const;
    const shelf = shelves.get(bucket) ?? { size, rows: [], captions: [], names: [] };
    shelves.set(bucket, shelf);
    for (const [at, name] of names.entries()) {
      shelf.rows.push({ values, at });
      shelf.names.push(name);
      shelf.captions.push(captions[at]!);
    }
    for (const [name, reason] of broken) skipped.set(name, reason);
  }
  const full = [...shelves.values()].filter(({ rows }) => rows.length > 0);
  const reasons = [...skipped.values()].slice(0, 3).join(" ");
  check(
    full.length > 0,
    "bad-file",
    oneLine(`data: not one picture could be read and encoded. ${reasons}`),
  );
  return {
    folder,
    size: full.reduce((n, { rows }) => n + rows.length, 0),
    captions: full.flatMap(({ captions }) => captions),
    skipped,
    batches: (order) => latentBatches(full, skipped, order),
  };
}

function latentBatches(
  shelves: readonly Shelf[],
  skipped: ReadonlyMap<string, string>,
  { batchSize, seed, ahead = 4 }: LatentOrder,
): Stepped<LatentBatch> {
  const counts = shelves.map(({ rows }) => rows.length);
  const order = shuffledOrder(counts, batchSize, seed);
  const batches = prefetch(async (step): Promise<LatentBatch> => {
    const { bucket, order: shuffled, places } = order.at(step);
    const { rows, captions, names } = shelves[bucket]!;
    const picked = places.map((place) => shuffled[place]!);
    return {
      latents: await readRows(picked.map((i) => rows[i]!)),
      captions: picked.map((i) => captions[i]!),
      names: picked.map((i) => names[i]!),
    };
  }, ahead);
  return {
    size: counts.reduce((a, b) => a + b),
    sizes: shelves.map(({ size }) => size),
    stepsPerEpoch: order.stepsPerEpoch,
    skipped,
    batch: batches.at,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
