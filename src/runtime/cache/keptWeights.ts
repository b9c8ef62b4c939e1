import type { StoredTensors } from "../../tensor/stored.js";
import { TintypeError } from "../../util/errors.js";
import type { Client } from "../client.js";
import {
  addEntry,
  type CacheEntry,
  type CacheOptions,
  folderOf,
  makeRoom,
  markUsed,
  type NewEntry,
  readEntry,
  removeFiles,
} from "./entries.js";
import { weightsKey } from "./identity.js";
import { weightFileSize, weightsInFile, writeWeights } from "./weightFile.js";

/** Weights that are to be kept as a processor wants them. */
export interface KeptSubject {
  readonly label: string;
  /** All that a program has need of; those that lie in files stay where they are. */
  readonly weights: StoredTensors;
}

/** Puts weights that are worked out in a file for good, or finds them there; undefined if it cannot. */
export type KeepWeights = (
  client: Client,
  subject: KeptSubject,
) => Promise<StoredTensors | undefined>;

/**
 * Keeps weights in files of the cache: those that are worked out are written once, also where several
 * programs ask at the same time, and mapped from then on. Undefined where the disk has no room. Throws
 * "bad-file" where weights are damaged.
 */
export function weightKeeper(options: CacheOptions): KeepWeights {
  const { platform, fingerprint } = options;
  const underway = new Map<string, Promise<CacheEntry | undefined>>();
  return async (client, { label, weights }) => {
    const derived = new Map([...weights].filter(([, { source }]) => source.derived));
    if (derived.size === 0) return weights;
    const keyOf = async () => await weightsKey(platform, derived.values(), [fingerprint]);
    const key = await keyOf();
    const entryOf = async (): Promise<CacheEntry | undefined> => {
      const found = await readEntry(platform, key);
      if (found) await markUsed(options, found);
      const isTrue = async () => (await keyOf()) === key;
      return found ?? (await write(options, client, derived, { key, label, isTrue }));
    };
    const asked = underway.get(key) ?? entryOf();
    underway.set(key, asked);
    const entry = await asked.finally(() => underway.delete(key));
    if (!entry) return undefined;
    const path = `${folderOf(platform.cacheDir)}/${entry.data}`;
    return new Map([...weights, ...(await weightsInFile(platform, path, derived))]);
  };
}

/** A new entry of these weights; undefined where the disk has no room. */
async function write(
  options: CacheOptions,
  client: Client,
  derived: StoredTensors,
  entry: Omit<NewEntry, "data">,
): Promise<CacheEntry | undefined> {
  const { platform } = options;
  if (!(await makeRoom(options, weightFileSize(derived)))) return undefined;
  const data = `${entry.key}-${crypto.randomUUID()}.weights`;
  try {
    await writeWeights(platform, client, `${folderOf(platform.cacheDir)}/${data}`, derived);
  } catch (error) {
    await removeFiles(platform, { data });
    if (error instanceof TintypeError && error.code === "bad-file") throw error;
    return undefined;
  }
  return await addEntry(options, { ...entry, data });
}
