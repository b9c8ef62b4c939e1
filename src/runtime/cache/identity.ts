import type { Hasher, Platform } from "../../platform/types.js";
import type { StoredTensor } from "../../tensor/stored.js";
import type { ByteSource } from "../../util/bytes.js";

type IdentityPlatform = Pick<Platform, "files" | "hash">;

/** A name for weights, and for what is made of them, that changes when their files do, without reading all of these. */
export async function weightsKey(
  platform: IdentityPlatform,
  weights: Iterable<StoredTensor>,
  made: readonly (string | Uint8Array)[] = [],
): Promise<string> {
  const hash = platform.hash("sha256");
  for (const part of made) {
    if (typeof part === "string") addText(hash, part);
    else hash.update(part);
  }
  await identify(platform, weights, hash);
  return (await hash.digest()).slice(0, 32);
}

const addText = (hash: Hasher, s: string): void => hash.update(new TextEncoder().encode(`${s}\n`));

/** Adds what tells the files of weights from others: path, size, time, and samples of their bytes. */
async function identify(
  { files }: IdentityPlatform,
  weights: Iterable<StoredTensor>,
  hash: Hasher,
): Promise<void> {
  const seen = new Set<ByteSource>();
  const add = async (source: ByteSource): Promise<void> => {
    if (seen.has(source)) return;
    seen.add(source);
    if (source.derived) {
      addText(hash, source.derived.how);
      for (const origin of source.derived.from) await add(origin);
    } else if (source.path === undefined) {
      addText(hash, `${source.name} ${source.size}`); // in memory already, so all of it
      hash.update(await source.read(0, source.size));
    } else {
      const stat = await files.stat(source.path);
      addText(hash, `${source.path} ${source.size} ${stat?.modified ?? ""}`);
      for (const sample of await samples(source)) hash.update(sample);
    }
  };
  for (const { source } of weights) await add(source);
}

/** The first blocks of a file, where its header is, and some spread over the rest. */
async function samples(source: ByteSource): Promise<Uint8Array[]> {
  const block = 4096;
  const head = Math.min(source.size, 256 * block);
  const chunks = [await source.read(0, head)];
  for (let i = 1; i <= 64; i++) {
    const at = Math.floor((i / 64) * (source.size - block));
    if (at >= head) chunks.push(await source.read(at, block));
  }
  return chunks;
}
