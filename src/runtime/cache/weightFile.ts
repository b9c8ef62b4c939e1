import type { Platform } from "../../platform/types.js";
import type { Recipe } from "../../tensor/recipe.js";
import type { Made, StoredTensors } from "../../tensor/stored.js";
import { concurrently } from "../../util/concurrently.js";
import type { Client } from "../client.js";
import { ALIGNMENT } from "../makeHost.js";
import type { MakeJob } from "../protocol.js";

/*
 * Tensors that are worked out, or lie in memory, in one file that an engine can map.
 */

/** Where each tensor begins, and how long the file is. */
function layout(tensors: StoredTensors): { readonly at: readonly number[]; readonly size: number } {
  let size = 0;
  const at = [...tensors.values()].map(({ length }) => {
    const begin = size;
    size += Math.ceil(length / ALIGNMENT) * ALIGNMENT;
    return begin;
  });
  return { at, size };
}

/** Bytes of the file that `writeWeights` writes. */
export const weightFileSize = (tensors: StoredTensors): number => layout(tensors).size;

/**
 * Writes tensors, all or nothing: those that are made of others by the client's workers side by side, or
 * one after the other. Throws "io", and what reading them throws.
 */
export async function writeWeights(
  { files }: Pick<Platform, "files">,
  client: Client,
  path: string,
  tensors: StoredTensors,
): Promise<void> {
  const jobs = jobsOf(tensors);
  if (jobs && (await workedOut({ files }, client, path, jobs))) return;
  await files.writeAtomically(path, pieces(tensors), { durable: false });
}

/** Work that is done once for all tensors that come of it. */
interface Job extends Omit<MakeJob, "into" | "at"> {
  readonly at: (number | undefined)[];
  readonly tell: Made["tell"];
}

/** What workers have to do; undefined where some tensors come of no file. */
function jobsOf(tensors: StoredTensors): readonly Job[] | undefined {
  const { at } = layout(tensors);
  const jobs = new Map<Recipe, Job>();
  for (const [i, { made }] of [...tensors.values()].entries()) {
    if (!made) return undefined;
    const { of, recipe, part, tell } = made;
    const { dtype, shape, offset, length, source } = of;
    if (source.path === undefined) return undefined;
    const file = { path: source.path, dtype, shape, offset, length };
    const job = jobs.get(recipe) ?? { of: file, recipe, at: [], tell };
    jobs.set(recipe, job);
    job.at[part] = at[i]!;
  }
  return [...jobs.values()];
}

/** Jobs at a time: workers have other things to do as well. */
const AT_A_TIME = 3;

/** Has a file written by workers; false where they could not, which reading the tensors will explain. */
async function workedOut(
  { files }: Pick<Platform, "files">,
  client: Client,
  path: string,
  jobs: readonly Job[],
): Promise<boolean> {
  const into = `${path}.${crypto.randomUUID()}.tmp`;
  try {
    await (await files.append(into, 0)).close();
    let failed = false;
    await concurrently(jobs, AT_A_TIME, async ({ of, recipe, at, tell }) => {
      if (failed) return;
      try {
        const { small } = await client.request({ kind: "make", job: { of, recipe, at, into } });
        tell(small);
      } catch (error) {
        failed = true;
        throw error;
      }
    });
    await files.rename(into, path, { durable: false });
    return true;
  } catch {
    await files.remove(into).catch(() => {});
    return false;
  }
}

async function* pieces(tensors: StoredTensors): AsyncGenerator<Uint8Array> {
  for (const { source, offset, length } of tensors.values()) {
    yield await source.read(offset, length);
    yield new Uint8Array(-length & (ALIGNMENT - 1));
  }
}

/** The tensors as they lie in a file that `writeWeights` has written. */
export async function weightsInFile(
  { openFile }: Pick<Platform, "openFile">,
  path: string,
  tensors: StoredTensors,
): Promise<StoredTensors> {
  const { at } = layout(tensors);
  const source = await openFile(path);
  return new Map(
    [...tensors].map(([name, { dtype, shape, length }], i) => [
      name,
      { dtype, shape, length, source, offset: at[i]! },
    ]),
  );
}
