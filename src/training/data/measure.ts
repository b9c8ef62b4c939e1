import type { Platform } from "../../platform/types.js";
import { writeText } from "../../platform/writeText.js";
import { parseJson, readText } from "../../util/bytes.js";
import { TintypeError } from "../../util/errors.js";
import type { Listing } from "./listing.js";
import type { DataPool } from "./pool.js";
import type { Jobs } from "./protocol.js";

/** A picture's size, or why it has none. */
export type Measured = Jobs["measure"]["answer"][number];

/** Pictures that a thread measures at a time. */
const CHUNK = 128;

/** Fewer pictures are measured faster than a file is worth. */
const WORTH_KEEPING = 1000;

/** Data sets whose sizes stay on the disk. */
const KEPT = 32;

/** The size of every picture of a listing; kept in the cache folder until one of the files changes. */
export async function measure(
  listing: Listing,
  pool: DataPool,
  platform: Platform,
): Promise<readonly Measured[]> {
  const { entries, fingerprint } = listing;
  if (entries.length < WORTH_KEEPING) return await measureAll(listing, pool);
  const folder = `${platform.cacheDir}/training`;
  const path = `${folder}/sizes-${fingerprint.slice(0, 32)}.json`;
  const known = await readSizes(platform, path, entries.length);
  if (known !== undefined) return known;
  const measured = await measureAll(listing, pool);
  await keep(platform, folder, path, measured);
  return measured;
}

async function measureAll({ entries }: Listing, pool: DataPool): Promise<Measured[]> {
  const chunks = Array.from({ length: Math.ceil(entries.length / CHUNK) }, (_, i) =>
    entries.slice(i * CHUNK, (i + 1) * CHUNK).map(({ ref }) => ref),
  );
  return (await Promise.all(chunks.map((pictures) => pool.ask("measure", { pictures })))).flat();
}

async function readSizes(
  platform: Platform,
  path: string,
  count: number,
): Promise<Measured[] | undefined> {
  if ((await platform.stat(path)) === undefined) return undefined;
  try {
    const sizes = parseJson(path, await readText(await platform.openFile(path)));
    return Array.isArray(sizes) && sizes.length === count ? sizes : undefined;
  } catch (error) {
    if (error instanceof TintypeError) return undefined; // it can be made again
    throw error;
  }
}

/** Without room on the disk the pictures are measured again next time. */
async function keep(
  platform: Platform,
  folder: string,
  path: string,
  measured: readonly Measured[],
): Promise<void> {
  const { files } = platform;
  try {
    await files.makeFolder(folder);
    await writeText(files, path, JSON.stringify(measured));
    const names = (await files.list(folder)).filter((name) => name.startsWith("sizes-"));
    const times = await Promise.all(
      names.map(async (name) => (await files.stat(`${folder}/${name}`))?.modified ?? 0),
    );
    const oldest = names
      .map((name, i) => ({ name, time: times[i]! }))
      .sort((a, b) => b.time - a.time);
    for (const { name } of oldest.slice(KEPT)) await files.remove(`${folder}/${name}`);
  } catch (error) {
    if (!(error instanceof TintypeError)) throw error;
  }
}
