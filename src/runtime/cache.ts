import type { Platform } from "../platform/types.js";
import type { StoredTensor } from "../tensor/stored.js";
import { type ByteSource, readJson } from "../util/bytes.js";
import type { Client } from "./client.js";
import type { Replies, SessionSpec } from "./protocol.js";

/*
 * Compiled programs on disk: the optimised graph, and the weights in the layout that this processor
 * wants, which a session maps into memory instead of making them again. Everything here is derived
 * and may be deleted at any time.
 *
 * An entry is three files: KEY.json is the entry, written last and renamed into place; it names a
 * graph and a weights file that no other entry shares. So two processes that fill one entry at once
 * both succeed, the later one wins, and the other's files are swept up.
 */

/** Programs kept on disk, found by what they were made from. */
export interface ProgramCache {
  /** Loads a program from its entry, or from its weights, leaving an entry behind if it can. */
  load(client: Client, spec: SessionSpec, of: CacheSubject): Promise<Replies["load"]>;
}

/** What a program was made from. */
export interface CacheSubject {
  readonly label: string;
  readonly weights: readonly StoredTensor[];
}

/** What listing and clearing need of the platform. */
export type CachePlatform = Pick<Platform, "files" | "cacheDir" | "openFile">;

/** One entry, as `tintype cache ls` shows it. */
export interface CacheEntry {
  readonly key: string;
  /** What the program is. */
  readonly label: string;
  /** Bytes on disk. */
  readonly bytes: number;
  /** When it was last used, milliseconds since 1970. */
  readonly used: number;
  readonly graph: string;
  readonly data: string;
}

/** Where the cache lies, how much it may hold, and what makes its entries stale. */
export interface CacheOptions {
  readonly platform: CachePlatform & Pick<Platform, "hash">;
  /** Bytes that the cache may hold; the least recently used entries go first. */
  readonly limit: number;
  /** Versions of Tintype and the engine, and the processor: an entry made elsewhere never hits. */
  readonly fingerprint: string;
  /** The clock, milliseconds since 1970. */
  readonly now: () => number;
}

/** Files that no entry names are left alone for this long: another process may be writing them. */
const ORPHAN_AGE = 60 * 60 * 1000;

/** 16 GiB: three Stable Diffusion models. */
export const DEFAULT_CACHE_LIMIT: number = 16 * 2 ** 30;

const folderOf = (cacheDir: string): string => `${cacheDir}/programs`;

/** A cache of compiled programs below the platform's cache folder. */
export function programCache(options: CacheOptions): ProgramCache {
  const { platform, now } = options;
  const folder = folderOf(platform.cacheDir);
  return {
    async load(client, spec, subject) {
      const key = await keyOf(options, spec, subject);
      const entry = await readEntry(platform, folder, key);
      if (entry !== undefined) {
        const hit = await loadEntry(client, spec, folder, entry);
        if (hit !== undefined) {
          await writeEntry(platform, folder, { ...entry, used: now() }).catch(() => {});
          return hit;
        }
      }
      return await fill(client, spec, subject, options, key);
    },
  };
}

/** The entries, most recently used first. */
export async function listCache(platform: CachePlatform): Promise<CacheEntry[]> {
  const folder = folderOf(platform.cacheDir);
  const names = (await platform.files.list(folder)).filter((name) => name.endsWith(".json"));
  const entries = await Promise.all(
    names.map((name) => readEntry(platform, folder, name.slice(0, -".json".length))),
  );
  return entries.filter((e) => e !== undefined).sort((a, b) => b.used - a.used);
}

/** Deletes every entry and every leftover; returns the bytes that entries had. */
export async function clearCache(platform: CachePlatform): Promise<number> {
  const folder = folderOf(platform.cacheDir);
  const entries = await listCache(platform);
  for (const name of await platform.files.list(folder)) {
    await platform.files.remove(`${folder}/${name}`);
  }
  return entries.reduce((n, e) => n + e.bytes, 0);
}

/** Loads the mapped program of an entry; undefined if its files are gone or damaged. */
async function loadEntry(
  client: Client,
  spec: SessionSpec,
  folder: string,
  { graph }: CacheEntry,
): Promise<Replies["load"] | undefined> {
  const mapped: SessionSpec = {
    ...spec,
    model: `${folder}/${graph}`,
    blobs: [],
    optimization: "disabled",
    config: withoutFolder(spec.config),
  };
  return await client.request({ kind: "load", spec: mapped }).catch(() => undefined);
}

/** An entry's weights lie beside its graph, not below the root. */
function withoutFolder(config: SessionSpec["config"]): SessionSpec["config"] {
  const { "session.model_external_initializers_file_folder_path": _, ...rest } = config;
  return rest;
}

/** Loads from the weights and writes an entry on the way, if the disk has room. */
async function fill(
  client: Client,
  spec: SessionSpec,
  { label, weights }: CacheSubject,
  { platform, limit, now }: CacheOptions,
  key: string,
): Promise<Replies["load"]> {
  const { files, cacheDir } = platform;
  const folder = folderOf(cacheDir);
  const direct = (): Promise<Replies["load"]> => client.request({ kind: "load", spec });
  // In float32 and beside its prepacked copy, a weight takes up to eight bytes.
  const need = weights.reduce((n, w) => n + 8 * w.shape.reduce((a, d) => a * d, 1), 0);
  if (need > limit) return await direct();
  try {
    await files.makeFolder(folder);
    await evict(platform, folder, limit - need, now());
    const free = await files.freeSpace(folder);
    if (free !== undefined && free < need) return await direct();
  } catch {
    return await direct(); // a cache that cannot be written is no reason not to run
  }
  const unique = `${key}-${now()}-${Math.floor(Math.random() * 2 ** 32).toString(36)}`;
  const [graph, data] = [`${unique}.onnx`, `${unique}.bin`];
  const saving: SessionSpec = {
    ...spec,
    saveTo: `${folder}/${graph}`,
    config: {
      ...spec.config,
      "session.optimized_model_external_initializers_file_name": data,
      "session.optimized_model_external_initializers_min_size_in_bytes": "1024",
      "session.save_external_prepacked_constant_initializers": "1",
    },
  };
  try {
    const loaded = await client.request({ kind: "load", spec: saving });
    const sizes = await Promise.all([graph, data].map((f) => files.stat(`${folder}/${f}`)));
    const bytes = sizes.reduce((n, s) => n + (s?.size ?? 0), 0);
    await writeEntry(platform, folder, { key, label, bytes, used: now(), graph, data }).catch(
      () => {},
    );
    return loaded;
  } catch {
    for (const name of [graph, data]) await files.remove(`${folder}/${name}`).catch(() => {});
    return await direct();
  }
}

async function readEntry(
  platform: CachePlatform,
  folder: string,
  key: string,
): Promise<CacheEntry | undefined> {
  try {
    const entry = (await readJson(await platform.openFile(`${folder}/${key}.json`))) as CacheEntry;
    const sizes = await Promise.all(
      [entry.graph, entry.data].map((f) => platform.files.stat(`${folder}/${f}`)),
    );
    const bytes = sizes.reduce((n, s) => n + (s?.size ?? Number.NaN), 0);
    return bytes === entry.bytes ? entry : undefined;
  } catch {
    return undefined; // absent, half-written by another version, or not ours
  }
}

async function writeEntry(
  platform: CachePlatform,
  folder: string,
  entry: CacheEntry,
): Promise<void> {
  const bytes = new TextEncoder().encode(JSON.stringify(entry));
  await platform.files.writeAtomically(`${folder}/${entry.key}.json`, [bytes]);
}

/** Deletes the least recently used entries until at most `limit` bytes are left, and old orphans. */
async function evict(
  platform: CachePlatform,
  folder: string,
  limit: number,
  now: number,
): Promise<void> {
  const { files } = platform;
  const entries = await listCache(platform);
  const kept = new Set<string>();
  let total = 0;
  for (const { key, bytes, graph, data } of entries) {
    total += bytes;
    if (total <= limit) for (const name of [`${key}.json`, graph, data]) kept.add(name);
  }
  const mentioned = new Set(entries.flatMap((e) => [`${e.key}.json`, e.graph, e.data]));
  for (const name of await files.list(folder)) {
    const born = Number(name.split("-")[1] ?? 0);
    const orphan = !mentioned.has(name) && now - born > ORPHAN_AGE;
    if (orphan || (mentioned.has(name) && !kept.has(name))) {
      await files.remove(`${folder}/${name}`).catch(() => {});
    }
  }
}

/** What an entry was made from: the graph, the device, the versions, and the weights' files. */
async function keyOf(
  { platform, fingerprint }: CacheOptions,
  spec: SessionSpec,
  { weights }: CacheSubject,
): Promise<string> {
  const hash = platform.hash("sha256");
  const text = (s: string): void => hash.update(new TextEncoder().encode(`${s}\n`));
  text(fingerprint);
  text(`${spec.provider} ${spec.optimization} ${JSON.stringify(spec.config)}`);
  hash.update(spec.model as Uint8Array);
  for (const source of new Set(weights.map((w) => w.source))) {
    const stat = source.path === undefined ? undefined : await platform.files.stat(source.path);
    text(`${source.path ?? source.name} ${source.size} ${stat?.modified ?? ""}`);
    for (const sample of await samples(source)) hash.update(sample);
  }
  return (await hash.digest()).slice(0, 32);
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
