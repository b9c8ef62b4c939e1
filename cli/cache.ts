import { formatBytes } from "../src/platform/formatBytes.js";
import { nodePlatform } from "../src/platform/node/platform.js";
import type { Files } from "../src/platform/types.js";
import { clearCache, listCache, PROGRAMS } from "../src/runtime/cache/entries.js";
import { table } from "./format.js";
import type { Terminal } from "./terminal.js";

/** What lies in the cache beside compiled programs, by folder. */
const OTHERS: Readonly<Record<string, string>> = {
  benchmark: "models of `tintype bench`",
  devices: "what devices can do",
  ranges: "ranges of layers in 8 bits",
};

/** A folder of the cache that holds no programs. */
interface OtherFolder {
  readonly name: string;
  readonly bytes: number;
}

/** Runs `tintype cache ls`. */
export async function showCache(
  { json = false }: { readonly json?: boolean },
  { out }: Pick<Terminal, "out">,
): Promise<void> {
  const platform = nodePlatform();
  const entries = await listCache(platform);
  const others = await otherFolders(platform.files, platform.cacheDir);
  const bytes = [...entries, ...others].reduce((sum, entry) => sum + entry.bytes, 0);
  const folder = platform.cacheDir;
  if (json) {
    const shown = entries.map(({ key, label, bytes, used }) => {
      return { key, label, bytes, used: new Date(used).toISOString() };
    });
    out(`${JSON.stringify({ folder, bytes, entries: shown, others })}\n`);
    return;
  }
  if (bytes === 0) {
    out(`The cache in ${folder} is empty. Models below 32 MB load fast without it.\n`);
    return;
  }
  const when = (used: number): string =>
    new Date(used).toISOString().slice(0, 16).replace("T", " ");
  const rows = [
    ...entries.map((e) => [when(e.used), formatBytes(e.bytes), e.label]),
    ...others.map((o) => ["", formatBytes(o.bytes), OTHERS[o.name] ?? o.name]),
  ];
  out(table(rows));
  out(`${formatBytes(bytes)} in ${folder}\n`);
}

/** Runs `tintype cache clear`. */
export async function emptyCache({ out }: Pick<Terminal, "out">): Promise<void> {
  const platform = nodePlatform();
  const { files, cacheDir } = platform;
  const others = await otherFolders(files, cacheDir);
  let bytes = await clearCache(platform);
  for (const other of others) {
    await files.removeFolder(`${cacheDir}/${other.name}`);
    bytes += other.bytes;
  }
  out(`Freed ${formatBytes(bytes)} in ${cacheDir}.\n`);
}

/** The folders in the cache that hold something other than programs. */
async function otherFolders(files: Files, cacheDir: string): Promise<OtherFolder[]> {
  const found: OtherFolder[] = [];
  for (const name of await files.list(cacheDir)) {
    const path = `${cacheDir}/${name}`;
    if (name === PROGRAMS || (await files.stat(path))?.kind !== "folder") continue;
    const bytes = await bytesBelow(files, path);
    if (bytes > 0) found.push({ name, bytes });
  }
  return found;
}

async function bytesBelow(files: Files, path: string): Promise<number> {
  const stat = await files.stat(path);
  if (stat?.kind !== "folder") return stat?.size ?? 0;
  let bytes = 0;
  for (const name of await files.list(path)) bytes += await bytesBelow(files, `${path}/${name}`);
  return bytes;
}
