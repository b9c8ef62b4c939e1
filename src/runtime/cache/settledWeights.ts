import type { Platform } from "../../platform/types.js";
import type { StoredTensor, StoredTensors } from "../../tensor/stored.js";
import type { Client } from "../client.js";
import { folderOf } from "./entries.js";
import { weightsKey } from "./identity.js";
import { weightFileSize, weightsInFile, writeWeights } from "./weightFile.js";

/** What settling needs of the platform. */
type SettlePlatform = Pick<Platform, "files" | "hash" | "cacheDir" | "openFile">;

/** Weights that lie in files for as long as a program is loaded from them. */
export interface SettledWeights extends AsyncDisposable {
  readonly weights: StoredTensors;
}

/**
 * Puts weights that are worked out into files that an engine can map, in the folder of compiled
 * programs, for as long as a program is loaded from them. Undefined where none are, or the disk has no room.
 */
export async function settle(
  platform: SettlePlatform,
  client: Client,
  weights: StoredTensors,
): Promise<SettledWeights | undefined> {
  const { files, cacheDir } = platform;
  const folder = folderOf(cacheDir);
  const pick = (wanted: (t: StoredTensor) => boolean): StoredTensors =>
    new Map([...weights].filter(([, t]) => t.source.path === undefined && wanted(t)));
  const derived = pick(({ source }) => source.derived !== undefined);
  const loose = pick(({ source }) => source.derived === undefined);
  if (derived.size === 0) return undefined;
  const bytes = weightFileSize(derived) + weightFileSize(loose);
  if (((await files.freeSpace(folder)) ?? bytes) < bytes) return undefined;
  await files.makeFolder(folder);
  const whole = `${folder}/${await weightsKey(platform, wholeNumbers(derived))}.weights`;
  const small = `${folder}/${crypto.randomUUID()}.weights`;
  const found = [
    await inFile(platform, client, whole, derived),
    await inFile(platform, client, small, loose),
  ];
  return {
    weights: new Map([...weights, ...found.flatMap((tensors) => [...tensors])]),
    [Symbol.asyncDispose]: async () => {
      // What is mapped stays so; where a system forbids this, the cache sweeps up later.
      for (const path of [small, whole]) await files.remove(path).catch(() => {});
    },
  };
}

const wholeNumbers = (derived: StoredTensors): StoredTensor[] =>
  [...derived.values()].filter(({ dtype }) => dtype === "i8");

/** The tensors in a file that was written before, or is now. */
async function inFile(
  platform: SettlePlatform,
  client: Client,
  path: string,
  tensors: StoredTensors,
): Promise<StoredTensors> {
  // Files are renamed into place, so that one of this size is whole.
  const isThere = (await platform.files.stat(path))?.size === weightFileSize(tensors);
  if (!isThere) await writeWeights(platform, client, path, tensors);
  return await weightsInFile(platform, path, tensors);
}
