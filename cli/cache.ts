import { formatBytes } from "../src/platform/formatBytes.js";
import { nodePlatform } from "../src/platform/node/platform.js";
import { clearCache, listCache } from "../src/runtime/cache.js";
import { table } from "./format.js";
import type { Terminal } from "./terminal.js";

/** Runs `tintype cache ls`. */
export async function showCache(
  { json = false }: { readonly json?: boolean },
  { out }: Terminal,
): Promise<void> {
  const platform = nodePlatform();
  const entries = await listCache(platform);
  const bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0);
  const folder = platform.cacheDir;
  if (json) {
    const shown = entries.map(({ key, label, bytes, used }) => {
      return { key, label, bytes, used: new Date(used).toISOString() };
    });
    out(`${JSON.stringify({ folder, bytes, entries: shown })}\n`);
    return;
  }
  if (entries.length === 0) {
    out(`The cache in ${folder} is empty. Models below 32 MB load fast without it.\n`);
    return;
  }
  const when = (used: number): string =>
    new Date(used).toISOString().slice(0, 16).replace("T", " ");
  out(table(entries.map((e) => [when(e.used), formatBytes(e.bytes), e.label])));
  out(`${formatBytes(bytes)} in ${folder}\n`);
}

/** Runs `tintype cache clear`. */
export async function emptyCache({ out }: Terminal): Promise<void> {
  const platform = nodePlatform();
  const bytes = await clearCache(platform);
  out(`Freed ${formatBytes(bytes)} in ${platform.cacheDir}.\n`);
}
