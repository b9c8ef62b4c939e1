import type { Platform } from "../platform/types.js";
import type { StoredTensor } from "../tensor/stored.js";
import { sizeOf } from "../tensor/tensor.js";
import { type ByteSource, readJson } from "../util/bytes.js";
import { check, TintypeError } from "../util/errors.js";
import { type Client, loadSession } from "./client.js";
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
  load(client: Client, subject: CacheSubject): Promise<Replies["load"]>;
}

/** What a program is made from. */
export interface CacheSubject {
  readonly label: string;
  readonly weights: readonly StoredTensor[];
  /** Whether nobody will ask for it again. */
  readonly once: boolean;
  /** The session without weights that lie in no file: these are read when an entry is missing. */
  readonly spec: SessionSpec;
  /** The session with all its weights. */
  readonly complete: () => Promise<SessionSpec>;
  /** The same over weights that were put in files, as long as it is not disposed of. */
  readonly settled: () => Promise<CompleteSpec | undefined>;
}

/** A session with all its weights, some of which lie in files that go with it. */
export interface CompleteSpec extends AsyncDisposable {
  readonly spec: SessionSpec;
}

/** What listing and clearing need of the platform. */
export type CachePlatform = Pick<Platform, "files" | "cacheDir" | "openFile">;

/** One entry, as `tintype cache ls` shows it. */
export interface CacheEntry extends EntryFiles {
  readonly key: string;
  /** What the program is. */
  readonly label: string;
  /** Bytes on disk. */
  readonly bytes: number;
  /** When it was last used, milliseconds since 1970. */
  readonly used: number;
}

/** Names of an entry's files beside the entry itself: the optimised graph and its weights. */
interface EntryFiles {
  readonly graph: string;
  readonly data: string;
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

/** Smaller programs are made as quickly as they are found. */
const DEFAULT_MINIMUM = 32 << 20;

/** How often a weight that is worked out could be read in the same time. */
const WORKED_OUT = 8;

/** What it takes to make a weight anew, in bytes that could be read meanwhile. */
const effort = ({ length, source }: StoredTensor): number =>
  source.derived ? WORKED_OUT * length : length;

/** Files that no entry names are left alone for this long: another process may be writing them. */
const ORPHAN_AGE = 60 * 60 * 1000;

/** 16 GiB: three Stable Diffusion models. */
export const DEFAULT_CACHE_LIMIT: number = 16 * 2 ** 30;

/** Name of the folder in the cache that programs lie in. */
export const PROGRAMS = "programs";

const folderOf = (cacheDir: string): string => `${cacheDir}/${PROGRAMS}`;

/** A cache of compiled programs below the platform's cache folder. */
export function programCache(options: CacheOptions): ProgramCache {
  const { platform, minimum = DEFAULT_MINIMUM, now } = options;
  const folder = folderOf(platform.cacheDir);
  return {
    async load(client, subject) {
      if (subject.weights.reduce((n, w) => n + effort(w), 0) < minimum) {
        return await loadSession(client, await subject.complete());
      }
      if (subject.once) return await loadOnce(client, subject);
      const key = await keyOf(options, subject);
      const entry = await readEntry(platform, folder, key);
      const hit = entry && (await loadEntry(client, subject.spec, folder, entry));
      if (hit === undefined) return await fill(client, subject, options, key, entry);
      await writeEntry(platform, folder, { ...entry!, used: now() }).catch(() => {});
      return hit;
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

/**
 * Loads from the weights and writes an entry on the way, if the disk has room. `damaged` is the
 * entry that the engine refused.
 */
async function fill(
  client: Client,
  subject: CacheSubject,
  options: CacheOptions,
  key: string,
  damaged?: CacheEntry,
): Promise<Replies["load"]> {
  const { platform, now } = options;
  const folder = folderOf(platform.cacheDir);
  const direct = async () => await loadSession(client, await subject.complete());
  if (!(await makeRoom(options, subject))) return await direct();
  const unique = `${key}-${crypto.randomUUID()}`;
  const files = { graph: `${unique}.onnx`, data: `${unique}.bin` };
  let loaded: Replies["load"];
  try {
    await using settled = await subject.settled();
    const spec = settled?.spec ?? (await subject.complete());
    loaded = await loadSession(client, savingSpec(spec, folder, files));
  } catch (error) {
    await removeAll(platform, folder, files);
    if (isBadFile(error)) throw error;
    return await direct();
  }
  try {
    // One at a time, so that of two processes that fill one entry the second sees the first's.
    await using _ = await platform.lock(`${folder}/${key}.lock`);
    // The weights may have been replaced meanwhile, or another process may have been quicker.
    const unchanged = (await keyOf(options, subject)) === key;
    const other = await readEntry(platform, folder, key);
    check(unchanged && (!other || other.graph === damaged?.graph), "io", "not needed");
    const bytes = await sizeOnDisk(platform, folder, files);
    await writeEntry(platform, folder, { key, label: subject.label, bytes, used: now(), ...files });
    if (damaged) await removeAll(platform, folder, damaged);
    await evict(options, options.limit);
  } catch {
    await removeAll(platform, folder, files); // a cache that cannot be kept is no reason not to run
  }
  return loaded;
}

/** Weights that are damaged stay so, however they are read. */
const isBadFile = (error: unknown): boolean =>
  error instanceof TintypeError && error.code === "bad-file";

async function loadOnce(client: Client, subject: CacheSubject): Promise<Replies["load"]> {
  await using settled = await subject.settled().catch((error) => {
    if (isBadFile(error)) throw error;
    return undefined;
  });
  const spec = settled?.spec ?? (await subject.complete());
  // Packing weights takes longer than a run without that.
  const config = { ...spec.config, "session.disable_prepacking": "1" };
  return await loadSession(client, { ...spec, config });
}

/** Makes room for a program, oldest entries first; false where it would not fit. */
async function makeRoom(options: CacheOptions, { weights }: CacheSubject): Promise<boolean> {
  const { platform, limit } = options;
  const folder = folderOf(platform.cacheDir);
  // A weight takes its bytes in float32, or in 8 bits, and as many again where it is packed.
  const bytes = ({ dtype, shape }: StoredTensor): number =>
    sizeOf(shape) * (dtype === "i8" ? 1 : 4);
  const need = weights.reduce((n, w) => n + 2 * bytes(w), 0);
  if (need > limit) return false;
  try {
    await platform.files.makeFolder(folder);
    await evict(options, limit - need);
    return ((await platform.files.freeSpace(folder)) ?? need) >= need;
  } catch {
    return false;
  }
}

/** The same session, which also writes its optimised graph and weights. */
function savingSpec(spec: SessionSpec, folder: string, { graph, data }: EntryFiles): SessionSpec {
  const config = {
    ...spec.config,
    "session.optimized_model_external_initializers_file_name": data,
    "session.optimized_model_external_initializers_min_size_in_bytes": "1024",
    "session.save_external_prepacked_constant_initializers": "1",
  };
  return { ...spec, saveTo: `${folder}/${graph}`, config };
}

/** Bytes of an entry's files; NaN where one is not there. */
async function sizeOnDisk(
  { files }: CachePlatform,
  folder: string,
  { graph, data }: EntryFiles,
): Promise<number> {
  const stats = await Promise.all([graph, data].map((name) => files.stat(`${folder}/${name}`)));
  return stats.reduce((n, stat) => n + (stat?.size ?? Number.NaN), 0);
}

async function removeAll(
  { files }: CachePlatform,
  folder: string,
  { graph, data }: EntryFiles,
): Promise<void> {
  for (const name of [graph, data]) await files.remove(`${folder}/${name}`).catch(() => {});
}

async function readEntry(
  platform: CachePlatform,
  folder: string,
  key: string,
): Promise<CacheEntry | undefined> {
  try {
    const entry = (await readJson(await platform.openFile(`${folder}/${key}.json`))) as CacheEntry;
    return (await sizeOnDisk(platform, folder, entry)) === entry.bytes ? entry : undefined;
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

/**
 * Deletes the least recently used entries until at most `limit` bytes are left, and old orphans.
 * Young orphans, which another process may be writing, count as well.
 */
async function evict({ platform, now }: CacheOptions, limit: number): Promise<void> {
  const { files } = platform;
  const folder = folderOf(platform.cacheDir);
  const names = await files.list(folder);
  const entries = await listCache(platform);
  const mentioned = new Set(entries.flatMap((e) => [`${e.key}.json`, e.graph, e.data]));
  let total = 0;
  const unwanted: string[] = [];
  for (const name of names.filter((n) => !mentioned.has(n))) {
    const stat = await files.stat(`${folder}/${name}`);
    if (now() - (stat?.modified ?? now()) > ORPHAN_AGE) unwanted.push(name);
    else total += stat?.size ?? 0;
  }
  for (const { key, bytes, graph, data } of entries) {
    total += bytes;
    if (total > limit) unwanted.push(`${key}.json`, graph, data);
  }
  for (const name of unwanted) await files.remove(`${folder}/${name}`).catch(() => {});
}

/** What an entry was made from: the graph, the device, the versions, and the weights' files. */
async function keyOf(
  { platform, fingerprint }: CacheOptions,
  { spec, weights }: CacheSubject,
): Promise<string> {
  const hash = platform.hash("sha256");
  const text = (s: string): void => hash.update(new TextEncoder().encode(`${s}\n`));
  text(fingerprint);
  text(`${spec.provider} ${spec.optimization} ${JSON.stringify(spec.config)}`);
  hash.update(spec.model as Uint8Array);
  await identify(platform, weights, hash);
  return (await hash.digest()).slice(0, 32);
}

/** A name for weights that changes when their files do, without reading all of these. */
export async function weightsKey(
  platform: Pick<Platform, "files" | "hash">,
  weights: Iterable<StoredTensor>,
): Promise<string> {
  const hash = platform.hash("sha256");
  await identify(platform, weights, hash);
  return (await hash.digest()).slice(0, 32);
}

/** Adds what tells the files of weights from others: path, size, time, and samples of their bytes. */
async function identify(
  { files }: Pick<Platform, "files">,
  weights: Iterable<StoredTensor>,
  hash: ReturnType<Platform["hash"]>,
): Promise<void> {
  const text = (s: string): void => hash.update(new TextEncoder().encode(`${s}\n`));
  const seen = new Set<ByteSource>();
  const add = async (source: ByteSource): Promise<void> => {
    if (seen.has(source)) return;
    seen.add(source);
    if (source.derived) {
      text(source.derived.how);
      for (const origin of source.derived.from) await add(origin);
    } else if (source.path === undefined) {
      text(`${source.name} ${source.size}`); // in memory already, so all of it
      hash.update(await source.read(0, source.size));
    } else {
      const stat = await files.stat(source.path);
      text(`${source.path} ${source.size} ${stat?.modified ?? ""}`);
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
