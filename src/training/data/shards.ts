import type { Platform } from "../../platform/types.js";
import { counted } from "../../util/counted.js";
import { check } from "../../util/errors.js";
import { few } from "../../util/few.js";

/**
 * The paths that a pattern stands for: `a{b,c}` is ab and ac, `{08..11}` counts, with zeros in front
 * where its ends have them. Source: WebDataset's brace notation, that of Bash.
 */
export function expandBraces(pattern: string): string[] {
  const found = /\{([^{}]*)\}/.exec(pattern);
  if (found === null) return [pattern];
  const before = pattern.slice(0, found.index);
  const after = pattern.slice(found.index + found[0].length);
  return alternatives(found[1]!).flatMap((word) => expandBraces(`${before}${word}${after}`));
}

/** So many shards no data set has. */
const MOST_SHARDS = 1_000_000;

function alternatives(inner: string): string[] {
  const range = /^(\d+)\.\.(\d+)$/.exec(inner);
  if (range === null) return inner.split(",");
  const [from, to] = [Number(range[1]), Number(range[2])];
  const step = from <= to ? 1 : -1;
  const count = Math.abs(to - from) + 1;
  check(
    count <= MOST_SHARDS,
    "bad-argument",
    `data: the pattern {${inner}} stands for ${count} shards. Check its ends.`,
  );
  const padded = /^0\d/.test(range[1]!) || /^0\d/.test(range[2]!);
  const width = padded ? Math.max(range[1]!.length, range[2]!.length) : 0;
  return Array.from({ length: count }, (_, i) => String(from + i * step).padStart(width, "0"));
}

/**
 * The tar files that a spec names, in its order: files, patterns, and the tar files directly inside
 * folders. Throws an error that names what is not there.
 */
export async function findShards(
  platform: Platform,
  shards: string | readonly string[],
): Promise<string[]> {
  const named = [shards].flat().flatMap(expandBraces);
  const found: string[] = [];
  const missing: string[] = [];
  for (const name of named) {
    const path = platform.resolve(name);
    const stat = await platform.stat(path);
    if (stat === undefined) missing.push(name);
    else if (stat.kind === "file") found.push(path);
    else found.push(...(await tarsIn(platform, path)));
  }
  check(
    missing.length === 0,
    "not-found",
    `data: ${missing.length} of ${counted(named.length, "shard")} ${missing.length === 1 ? "is" : "are"} not there: ${few(missing)}. Check "shards".`,
  );
  const twice = found.filter((path, i) => found.indexOf(path) !== i);
  check(
    twice.length === 0,
    "bad-argument",
    `data: "shards" names ${few(twice)} more than once. Name each shard once.`,
  );
  return found;
}

async function tarsIn(platform: Platform, folder: string): Promise<string[]> {
  const names = await platform.files.list(folder);
  const tars = names.filter((name) => /\.tar$/i.test(name) && !name.startsWith("."));
  check(
    tars.length > 0,
    "not-found",
    `data: there are no .tar files in ${folder}. Pictures in a folder are of kind "folder".`,
  );
  return tars.map((name) => `${folder}/${name}`);
}
