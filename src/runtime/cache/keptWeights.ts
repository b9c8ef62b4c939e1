import type { StoredTensors } from "../../tensor/stored.js";
import { TintypeError } from "../../util/errors.js";
import {
  addEntry,
  type CacheOptions,
  folderOf,
  makeRoom,
  markUsed,
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

/**
 * The weights with those that are worked out in a file of the cache, written now if it was not there.
 * Undefined where the disk has no room. Throws "bad-file" where weights are damaged.
 */
export async function keepWeights(
  options: CacheOptions,
  { label, weights }: KeptSubject,
): Promise<StoredTensors | undefined> {
  const { platform, fingerprint } = options;
  const derived = new Map([...weights].filter(([, { source }]) => source.derived));
  if (derived.size === 0) return weights;
  const keyOf = async () => await weightsKey(platform, derived.values(), [fingerprint]);
  const key = await keyOf();
  const found = await readEntry(platform, key);
  if (found) await markUsed(options, found);
  const entry = found ?? (await write());
  if (!entry) return undefined;
  const path = `${folderOf(platform.cacheDir)}/${entry.data}`;
  return new Map([...weights, ...(await weightsInFile(platform, path, derived))]);

  async function write() {
    if (!(await makeRoom(options, weightFileSize(derived)))) return undefined;
    const data = `${key}-${crypto.randomUUID()}.weights`;
    try {
      await writeWeights(platform, `${folderOf(platform.cacheDir)}/${data}`, derived);
    } catch (error) {
      await removeFiles(platform, { data });
      if (error instanceof TintypeError && error.code === "bad-file") throw error;
      return undefined;
    }
    return await addEntry(options, {
      key,
      label,
      isTrue: async () => (await keyOf()) === key,
      data,
    });
  }
}
