import type { Platform } from "../../platform/types.js";
import { readJson } from "../../util/bytes.js";
import { check } from "../../util/errors.js";

/*
 * Entries of the cache on disk. All of it is derived and may be deleted at any time.
 *
 * KEY.json is the entry, written last and renamed into place; it names files that no other entry
 * shares. So two processes that fill one entry at once both succeed, the quicker one's stays, and the
 * other's files are swept up.
 */

/** What listing and clearing need of the platform. */
export type CachePlatform = Pick<Platform, "files" | "cacheDir" | "openFile">;

/** Names of an entry's files beside the entry itself. */
export interface EntryFiles {
  /** A compiled graph, where the entry is a program. */
  readonly graph?: string;
  /** Weights: a program's, or those of any program that has need of them. */
  readonly data: string;
}

/** One entry, as `tintype cache ls` shows it. */
export interface CacheEntry extends EntryFiles {
  readonly key: string;
  /** What it is. */
  readonly label: string;
  /** Bytes on disk. */
  readonly bytes: number;
  /** When it was last used, milliseconds since 1970. */
  readonly used: number;
}

/** Where the cache lies, how much it may hold, and what makes its entries stale. */
export interface CacheOptions {
  readonly platform: CachePlatform & Pick<Platform, "hash" | "lock">;
  /** Bytes that the cache may hold; the least recently used entries go first. */
  readonly limit: number;
  /** Versions of Tintype and the engine, and the processor: an entry made elsewhere never hits. */
  readonly fingerprint: string;
  /**
   * Programs whose weights total fewer bytes than this are not kept; 32 MiB by default. Those that are
   * worked out count for more than those that are read.
   */
  readonly minimum?: number;
  /** The clock, milliseconds since 1970. */
  readonly now: () => number;
}

/** 16 GiB: three Stable Diffusion models. */
export const DEFAULT_CACHE_LIMIT: number = 16 * 2 ** 30;

/** Name of the folder in the cache that entries lie in. */
export const PROGRAMS = "programs";

/** Where entries of a platform lie. */
export const folderOf = (cacheDir: string): string => `${cacheDir}/${PROGRAMS}`;

/** Files that no entry names are left alone for this long: another process may be writing them. */
const ORPHAN_AGE = 60 * 60 * 1000;

const filesOf = ({ graph, data }: EntryFiles): string[] =>
  graph === undefined ? [data] : [graph, data];

/** The entries, most recently used first. */
export async function listCache(platform: CachePlatform): Promise<CacheEntry[]> {
  const folder = folderOf(platform.cacheDir);
  const names = (await platform.files.list(folder)).filter((name) => name.endsWith(".json"));
  const entries = await Promise.all(
    names.map((name) => readEntry(platform, name.slice(0, -".json".length))),
  );
  return entries.filter((e) => e !== undefined).sort((a, b) => b.used - a.used);
}

/**
 * Deletes every entry and every leftover; returns the bytes that entries had. Throws "io" for a file
 * that cannot be removed, once all others are.
 */
export async function clearCache(platform: CachePlatform): Promise<number> {
  const folder = folderOf(platform.cacheDir);
  const entries = await listCache(platform);
  const names = await platform.files.list(folder);
  const removals = names.map((name) => platform.files.remove(`${folder}/${name}`));
  const refused = (await Promise.allSettled(removals)).find((r) => r.status === "rejected");
  if (refused) throw refused.reason;
  return entries.reduce((n, e) => n + e.bytes, 0);
}

/** The entry of a key; undefined where there is none, or its files are not whole. */
export async function readEntry(
  platform: CachePlatform,
  key: string,
): Promise<CacheEntry | undefined> {
  try {
    const path = `${folderOf(platform.cacheDir)}/${key}.json`;
    const entry = (await readJson(await platform.openFile(path))) as CacheEntry;
    return (await sizeOnDisk(platform, entry)) === entry.bytes ? entry : undefined;
  } catch {
    return undefined; // absent, half-written by another version, or not ours
  }
}

/** Notes that an entry was used now. */
export async function markUsed({ platform, now }: CacheOptions, entry: CacheEntry): Promise<void> {
  await writeEntry(platform, { ...entry, used: now() }).catch(() => {});
}

/** Makes room for this many bytes, oldest entries first; false where they would not fit. */
export async function makeRoom(options: CacheOptions, bytes: number): Promise<boolean> {
  const { platform, limit } = options;
  const folder = folderOf(platform.cacheDir);
  if (bytes > limit) return false;
  try {
    await platform.files.makeFolder(folder);
    await evict(options, limit - bytes);
    return ((await platform.files.freeSpace(folder)) ?? bytes) >= bytes;
  } catch {
    return false;
  }
}

/** Files that are to become an entry. */
export interface NewEntry extends EntryFiles {
  readonly key: string;
  readonly label: string;
  /** Whether what they were made from is still the same. */
  readonly isTrue: () => Promise<boolean>;
  /** The entry that they are for instead of. */
  readonly damaged?: CacheEntry | undefined;
}

/**
 * Makes an entry of files that were written, unless another process was quicker: the entry that
 * stands; undefined where none does. Files that are not needed go.
 */
export async function addEntry(
  options: CacheOptions,
  { key, label, isTrue, damaged, ...files }: NewEntry,
): Promise<CacheEntry | undefined> {
  const { platform, now, limit } = options;
  try {
    // One at a time, so that of two processes that fill one entry the second sees the first's.
    await using _ = await platform.lock(`${folderOf(platform.cacheDir)}/${key}.lock`);
    check(await isTrue(), "io", "not needed");
    const other = await readEntry(platform, key);
    if (other && other.data !== damaged?.data) {
      await removeFiles(platform, files);
      return other;
    }
    const bytes = await sizeOnDisk(platform, files);
    const entry = { key, label, bytes, used: now(), ...files };
    await writeEntry(platform, entry);
    if (damaged) await removeFiles(platform, damaged);
    await evict(options, limit);
    return entry;
  } catch {
    await removeFiles(platform, files); // a cache that cannot be kept is no reason not to run
    return undefined;
  }
}

/** Removes an entry's files, as far as they can be. */
export async function removeFiles(
  { files, cacheDir }: CachePlatform,
  entry: EntryFiles,
): Promise<void> {
  for (const name of filesOf(entry))
    await files.remove(`${folderOf(cacheDir)}/${name}`).catch(() => {});
}

/** Bytes of an entry's files; NaN where one is not there. */
async function sizeOnDisk({ files, cacheDir }: CachePlatform, entry: EntryFiles): Promise<number> {
  const stats = await Promise.all(
    filesOf(entry).map((name) => files.stat(`${folderOf(cacheDir)}/${name}`)),
  );
  return stats.reduce((n, stat) => n + (stat?.size ?? Number.NaN), 0);
}

async function writeEntry({ files, cacheDir }: CachePlatform, entry: CacheEntry): Promise<void> {
  const bytes = new TextEncoder().encode(JSON.stringify(entry));
  await files.writeAtomically(`${folderOf(cacheDir)}/${entry.key}.json`, [bytes]);
}

/**
 * Deletes the least recently used entries until at most `limit` bytes are left, and old orphans.
 * Young orphans, which another process may be writing, count as well.
 */
async function evict({ platform, now }: CacheOptions, limit: number): Promise<void> {
  const { files } = platform;
  const folder = folderOf(platform.cacheDir);
  const names = await files.list(folder);
  const entries = await listCache(platform);
  const mentioned = new Set(entries.flatMap((e) => [`${e.key}.json`, ...filesOf(e)]));
  let total = 0;
  const unwanted: string[] = [];
  for (const name of names.filter((n) => !mentioned.has(n))) {
    const stat = await files.stat(`${folder}/${name}`);
    if (now() - (stat?.modified ?? now()) > ORPHAN_AGE) unwanted.push(name);
    else total += stat?.size ?? 0;
  }
  for (const entry of entries) {
    total += entry.bytes;
    if (total > limit) unwanted.push(`${entry.key}.json`, ...filesOf(entry));
  }
  for (const name of unwanted) await files.remove(`${folder}/${name}`).catch(() => {});
}
