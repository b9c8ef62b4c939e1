import { sliceBatch } from "../../tensor/elementwise.js";
import type { Tensor } from "../../tensor/tensor.js";
import { throwIfAborted } from "../../util/errors.js";
import {
  type CacheOptions,
  cacheFolder,
  FILE_SIZE,
  lockCache,
  type Row,
  readCacheFile,
  readRows,
  writeCacheFile,
} from "./cacheFiles.js";

/** Embeddings of texts by a frozen encoder. */
export interface EmbeddingCache {
  /** Where its files lie. */
  readonly folder: string;
  /** Texts that it has. */
  readonly size: number;
  /** The embeddings of texts that it has: [n, ...] as `encode` gives them, float16 in between. */
  read(texts: readonly string[]): Promise<Tensor>;
}

/** What a file says of its rows. */
interface About {
  readonly texts: readonly string[];
}

/**
 * Encodes every different text once and keeps the results on the disk, as float16. Texts that an
 * earlier run encoded are not encoded again, whatever others it had. `encode` is always given
 * `batchSize` texts and gives [batchSize, ...].
 */
export async function cacheEmbeddings(
  texts: Iterable<string>,
  encode: (texts: readonly string[]) => Promise<Tensor>,
  options: CacheOptions,
): Promise<EmbeddingCache> {
  const { platform, fileSize = FILE_SIZE } = options;
  const folder = await cacheFolder(options, ["embeddings", options.key]);
  await using _ = await lockCache(options, folder);
  const rows = new Map<string, Row>();
  const add = async (path: string): Promise<boolean> => {
    const file = await readCacheFile(platform, path);
    if (file === undefined) return false;
    for (const [at, text] of (file.about as About).texts.entries()) {
      rows.set(text, { values: file.values, at });
    }
    return true;
  };
  const pathOf = (i: number): string => `${folder}/${String(i).padStart(5, "0")}.safetensors`;

  let files = 0;
  while (await add(pathOf(files))) files++;
  const wanted = [...new Set(texts)];
  const missing = wanted.filter((text) => !rows.has(text));
  let done = wanted.length - missing.length;
  for (; missing.length > 0; files++) {
    const part = missing.splice(0, fileSize);
    const values = await encodeAll(part, encode, options, (count) =>
      options.onProgress?.(done + count, wanted.length),
    );
    await writeCacheFile(platform, pathOf(files), values, { texts: part } satisfies About);
    await add(pathOf(files));
    done += part.length;
  }
  return {
    folder,
    size: rows.size,
    read: (asked) => readRows(asked.map((text) => rows.get(text) ?? unknown(text))),
  };
}

/** The embeddings of all texts in batches, the last one filled up. */
async function encodeAll(
  texts: readonly string[],
  encode: (texts: readonly string[]) => Promise<Tensor>,
  { batchSize, signal }: CacheOptions,
  report: (done: number) => void,
): Promise<Tensor[]> {
  const values: Tensor[] = [];
  for (let at = 0; at < texts.length; at += batchSize) {
    throwIfAborted(signal);
    const batch = texts.slice(at, at + batchSize);
    const filler = Array<string>(batchSize - batch.length).fill(batch[0]!);
    values.push(sliceBatch(await encode([...batch, ...filler]), 0, batch.length));
    report(at + batch.length);
  }
  return values;
}

function unknown(text: string): never {
  throw new Error(`internal: the text "${text}" was not given to the cache of embeddings`);
}
