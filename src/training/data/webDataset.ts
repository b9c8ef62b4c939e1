import type { Platform } from "../../platform/types.js";
import type { ByteSource } from "../../util/bytes.js";
import { concurrently } from "../../util/concurrently.js";
import { counted } from "../../util/counted.js";
import { check } from "../../util/errors.js";
import { few } from "../../util/few.js";
import { oneLine } from "../../util/oneLine.js";
import {
  captionText,
  type Entry,
  fingerprintOf,
  isPicture,
  type Listing,
  MAX_CAPTION_BYTES,
  PICTURE_ENDINGS,
  withoutCaption,
} from "./listing.js";
import { findShards } from "./shards.js";
import type { WebDatasetSpec } from "./spec.js";
import { indexTar, type TarMember } from "./tar.js";

/** Shards whose tables are read at once. */
const AT_ONCE = 4;

/** Members of one key. */
interface Sample {
  picture?: TarMember;
  txt?: TarMember;
  json?: TarMember;
}

/** One shard, read. */
interface Shard {
  readonly stamp: string;
  readonly entries: Entry[];
  readonly skipped: Map<string, string>;
  /** Captions without pictures, and pictures without captions. */
  readonly orphans: string[];
  readonly mute: string[];
}

/** "a/b.seg.png" -> ["a/b", "seg.png"]: the key ends at the first dot of the last part. */
function splitKey(name: string): readonly [key: string, ending: string] {
  const dot = name.indexOf(".", name.lastIndexOf("/") + 1);
  return dot < 0 ? [name, ""] : [name.slice(0, dot), name.slice(dot + 1).toLowerCase()];
}

function samplesOf(shard: string, members: readonly TarMember[]): Map<string, Sample> {
  const samples = new Map<string, Sample>();
  for (const member of members) {
    const [key, ending] = splitKey(member.name);
    // "x.seg.png" is another part of x, not its picture.
    const part = isPicture(`.${ending}`) && !ending.includes(".") ? "picture" : ending;
    if (part !== "picture" && part !== "txt" && part !== "json") continue;
    const sample = samples.get(key) ?? {};
    const first = sample[part];
    check(
      first === undefined,
      "bad-file",
      `${shard}: ${first?.name} and ${member.name} belong to one key. Give each example a key of its own.`,
    );
    sample[part] = member;
    samples.set(key, sample);
  }
  return samples;
}

/** Why an example's caption cannot be read. */
class Unreadable extends Error {}

async function captionOf(
  source: ByteSource,
  { txt, json }: Sample,
  field: string | undefined,
): Promise<string | undefined> {
  const textOf = async ({ name, offset, size }: TarMember): Promise<string> => {
    if (size > MAX_CAPTION_BYTES) throw new Unreadable(`${name} has ${size} bytes, too many`);
    const text = captionText(await source.read(offset, size));
    if (text === undefined) throw new Unreadable(`${name} is not UTF-8 text`);
    return text;
  };
  if (txt !== undefined && field === undefined) return await textOf(txt);
  if (json === undefined) return undefined;
  const text = await textOf(json);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Unreadable(`${json.name} is not valid JSON`);
  }
  if (typeof value !== "object" || value === null)
    throw new Unreadable(`${json.name} is no object`);
  const caption: unknown = Reflect.get(value, field ?? "caption");
  if (caption === undefined || caption === null) return undefined;
  if (typeof caption !== "string") throw new Unreadable(`${json.name}: its caption is no text`);
  return caption.trim();
}

const fileName = (path: string): string => path.replace(/^.*[\\/]/, "");

/** `shard` is what messages call the file. */
async function readShard(
  platform: Platform,
  path: string,
  shard: string,
  { captionField }: WebDatasetSpec,
): Promise<Shard> {
  const source = await platform.openFile(path);
  const stat = await platform.stat(path);
  const { members, problem } = await indexTar(source);
  const samples = samplesOf(path, members);
  const read: Shard = {
    stamp: `${shard} ${source.size} ${stat?.modified}`,
    entries: [],
    skipped: new Map(),
    orphans: [],
    mute: [],
  };
  const skip = (name: string, why: string): void =>
    void read.skipped.set(name, oneLine(`${path}: ${why}`));
  if (problem !== undefined) skip(shard, `${problem}; the rest is left out`);
  // The last example of a shard that is cut short may lack what would have followed.
  const cut = problem === undefined ? undefined : [...samples.keys()].at(-1);
  for (const [key, sample] of samples) {
    const { name: member } = (sample.picture ?? sample.txt ?? sample.json)!;
    const name = `${shard}/${member.replace(/^\.\//, "")}`;
    try {
      const caption = await captionOf(source, sample, captionField);
      if (key === cut && (sample.picture === undefined || !caption)) {
        throw new Unreadable(`cut short inside ${key}`);
      }
      take(read, { path, name, picture: sample.picture, caption });
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      skip(name, error.message);
    }
  }
  return read;
}

interface Found {
  readonly path: string;
  readonly name: string;
  readonly picture: TarMember | undefined;
  readonly caption: string | undefined;
}

function take({ entries, orphans, mute }: Shard, { path, name, picture, caption }: Found): void {
  if (picture === undefined) {
    if (caption !== undefined) orphans.push(name);
    return;
  }
  if (caption === undefined || caption === "") mute.push(name);
  const ref = { path, name, offset: picture.offset, length: picture.size };
  entries.push({ ref, caption: caption ?? "" });
}

/**
 * Pictures in WebDataset shards: the members `key.jpg` (or another ending) with `key.txt`, or with a
 * caption in `key.json`. Their places are found once; bytes are read later, at random. What is
 * damaged or cut short is left out and named. Throws for shards that are not there, and as
 * `listFolder` for captions without pictures and pictures without captions. Source: WebDataset's
 * format, github.com/webdataset/webdataset.
 */
export async function listShards(platform: Platform, spec: WebDatasetSpec): Promise<Listing> {
  const paths = await findShards(platform, spec.shards);
  const unique = new Set(paths.map(fileName)).size === paths.length;
  const shards = await concurrently(paths, AT_ONCE, (path) =>
    readShard(platform, path, unique ? fileName(path) : path, spec),
  );
  const entries = shards.flatMap((shard) => shard.entries);
  const skipped = new Map(shards.flatMap((shard) => [...shard.skipped]));
  const more = paths.length - 1;
  const name = more === 0 ? paths[0]! : `${paths[0]} and ${counted(more, "more shard")}`;
  const orphans = shards.flatMap((shard) => shard.orphans);
  check(
    orphans.length === 0,
    "bad-file",
    `${name}: ${counted(orphans.length, "caption has", "captions have")} no picture (${PICTURE_ENDINGS}): ${few(orphans)}. ` +
      "Write each key with both.",
  );
  check(
    entries.length > 0,
    "bad-file",
    `${name}: there are no pictures (${PICTURE_ENDINGS}) that can be read. ${few([...skipped.values()], 3)}`,
  );
  const mute = shards.flatMap((shard) => shard.mute);
  const where =
    spec.captionField === undefined ? "key.txt or key.json" : `"${spec.captionField}" of key.json`;
  check(
    mute.length === 0 || spec.captions === "optional",
    "bad-file",
    `${name}: ${withoutCaption(mute.length, entries.length)} in ${where}: ` +
      `${few(mute)}. Write the captions, name their key in "captionField", or set "captions" to "optional".`,
  );
  const fingerprint = await fingerprintOf(
    platform,
    shards.map(({ stamp }) => stamp),
    entries,
  );
  return { name, entries, skipped, fingerprint };
}
