import type { StoredTensor, StoredTensors } from "../../tensor/stored.js";
import { sizeOf } from "../../tensor/tensor.js";
import { TintypeError } from "../../util/errors.js";
import { type Client, loadSession } from "../client.js";
import type { Replies, SessionSpec } from "../protocol.js";
import {
  addEntry,
  type CacheEntry,
  type CacheOptions,
  type EntryFiles,
  folderOf,
  makeRoom,
  markUsed,
  readEntry,
  removeFiles,
} from "./entries.js";
import { weightsKey } from "./identity.js";
import { type KeepWeights, weightKeeper } from "./keptWeights.js";
import { type SettledWeights, settle } from "./settledWeights.js";

/*
 * Compiled programs on disk: the optimised graph, and the weights in the layout that this processor
 * wants, which a session maps into memory instead of making them again.
 */

/** Programs kept on disk, found by what they were made from. */
export interface ProgramCache {
  /** Loads a program from its entry, or from its weights, leaving an entry behind if it can. */
  load(client: Client, subject: CacheSubject): Promise<Replies["load"]>;
  /** Whether programs over these weights are large enough to be kept. */
  keeps(weights: readonly StoredTensor[]): boolean;
  readonly keep: KeepWeights;
  /** Puts weights that are worked out where the engine can map them while it loads a program. */
  settle(client: Client, weights: StoredTensors): Promise<SettledWeights | undefined>;
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

/** Smaller programs are made as quickly as they are found. */
const DEFAULT_MINIMUM = 32 << 20;

/** How often a weight that is worked out could be read in the same time. */
const WORKED_OUT = 8;

/** What it takes to make a weight anew, in bytes that could be read meanwhile. */
const effort = ({ length, source }: StoredTensor): number =>
  source.derived ? WORKED_OUT * length : length;

/** A cache of compiled programs below the platform's cache folder. */
export function programCache(options: CacheOptions): ProgramCache {
  const { platform, minimum = DEFAULT_MINIMUM } = options;
  const keeps = (weights: readonly StoredTensor[]): boolean =>
    weights.reduce((n, w) => n + effort(w), 0) >= minimum;
  return {
    keeps,
    async load(client, subject) {
      if (!keeps(subject.weights)) return await loadSession(client, await subject.complete());
      if (subject.once) return await loadOnce(client, subject);
      const key = await keyOf(options, subject);
      const entry = await readEntry(platform, key);
      const hit = entry && (await loadEntry(client, subject.spec, options, entry));
      if (hit === undefined) return await fill(client, subject, options, key, entry);
      await markUsed(options, entry!);
      return hit;
    },
    keep: weightKeeper(options),
    settle: (client, weights) => settle(platform, client, weights),
  };
}

/** Loads the mapped program of an entry; undefined if its files are gone or damaged. */
async function loadEntry(
  client: Client,
  spec: SessionSpec,
  { platform }: CacheOptions,
  { graph }: CacheEntry,
): Promise<Replies["load"] | undefined> {
  const mapped: SessionSpec = {
    ...spec,
    model: `${folderOf(platform.cacheDir)}/${graph}`,
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
  const { platform } = options;
  const direct = async () => await loadSession(client, await subject.complete());
  if (!(await makeRoom(options, roomFor(subject)))) return await direct();
  const unique = `${key}-${crypto.randomUUID()}`;
  const files = { graph: `${unique}.onnx`, data: `${unique}.bin` };
  let loaded: Replies["load"];
  try {
    await using settled = await subject.settled();
    const spec = settled?.spec ?? (await subject.complete());
    loaded = await loadSession(client, savingSpec(spec, folderOf(platform.cacheDir), files));
  } catch (error) {
    await removeFiles(platform, files);
    if (isBadFile(error)) throw error;
    return await direct();
  }
  // The weights may have been replaced meanwhile.
  const isTrue = async () => (await keyOf(options, subject)) === key;
  await addEntry(options, { key, label: subject.label, isTrue, damaged, ...files });
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

/** Bytes that a program takes: a weight's in float32, or in 8 bits, and as many again where it is packed. */
function roomFor({ weights }: CacheSubject): number {
  const bytes = ({ dtype, shape }: StoredTensor): number =>
    sizeOf(shape) * (dtype === "i8" ? 1 : 4);
  return weights.reduce((n, w) => n + 2 * bytes(w), 0);
}

/** The same session, which also writes its optimised graph and weights. */
function savingSpec(
  spec: SessionSpec,
  folder: string,
  { graph, data }: Required<EntryFiles>,
): SessionSpec {
  const config = {
    ...spec.config,
    "session.optimized_model_external_initializers_file_name": data,
    "session.optimized_model_external_initializers_min_size_in_bytes": "1024",
    "session.save_external_prepacked_constant_initializers": "1",
  };
  return { ...spec, saveTo: `${folder}/${graph}`, config };
}

/** What an entry was made from: the graph, the device, the versions, and the weights' files. */
async function keyOf(
  { platform, fingerprint }: CacheOptions,
  { spec, weights }: CacheSubject,
): Promise<string> {
  const { provider, optimization, config, model } = spec;
  const device = `${provider} ${optimization} ${JSON.stringify(config)}`;
  return await weightsKey(platform, weights, [fingerprint, device, model]);
}
