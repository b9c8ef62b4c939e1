import type { Platform } from "../../platform/types.js";
import { concurrently } from "../../util/concurrently.js";
import { counted } from "../../util/counted.js";
import { check, TintypeError } from "../../util/errors.js";
import { few } from "../../util/few.js";
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
import { type MetadataRow, readMetadata } from "./metadata.js";
import type { FolderSpec } from "./spec.js";

/** Files that are read at once. */
const AT_ONCE = 32;

/** Folders deeper than this go round in a circle of links. */
const DEEPEST = 32;

const METADATA = "metadata.jsonl";

/** A file below the data set's folder. */
interface Found {
  /** Relative, with forward slashes. */
  readonly path: string;
  readonly size: number;
  readonly modified: number | undefined;
}

/** Files below a folder, sorted; links are followed, names that begin with a dot left out. */
async function walk(platform: Platform, root: string, below = "", depth = 0): Promise<Found[]> {
  check(
    depth < DEEPEST,
    "io",
    `${root}/${below}: more than ${DEEPEST} folders deep. Does a link lead back to a folder above it?`,
  );
  const names = (await platform.files.list(`${root}/${below}`)).filter((n) => !n.startsWith("."));
  const found = await concurrently(names, AT_ONCE, async (name) => {
    const path = `${below}${name}`;
    const stat = await platform.files.stat(`${root}/${path}`);
    return stat === undefined ? undefined : { path, ...stat };
  });
  const files: Found[] = [];
  for (const entry of found) {
    if (entry === undefined) continue;
    const { path, size, modified } = entry;
    if (entry.kind === "file") files.push({ path, size, modified });
    else files.push(...(await walk(platform, root, `${path}/`, depth + 1)));
  }
  return files;
}

const folderOf = (path: string): string => path.slice(0, path.lastIndexOf("/") + 1);
const stemOf = (path: string): string => path.replace(/\.[^./]*$/, "");

/** The `metadata.jsonl` that speaks for a picture: of its folder, or of the nearest one above. */
function governing<T>(metadata: ReadonlyMap<string, T>, path: string): T | undefined {
  for (let folder = folderOf(path); ; folder = folderOf(folder.slice(0, -1))) {
    const found = metadata.get(folder);
    if (found !== undefined || folder === "") return found;
  }
}

/** What a folder says of its pictures. */
interface Words {
  /** By the picture's path without its ending. */
  readonly texts: ReadonlyMap<string, string>;
  /** By folder, then by the picture's path. */
  readonly metadata: ReadonlyMap<string, ReadonlyMap<string, MetadataRow>>;
}

async function readWords(
  platform: Platform,
  root: string,
  files: readonly Found[],
  spec: FolderSpec,
): Promise<Words> {
  const other = files.filter(({ path }) => /(?:^|\/)metadata\.(?:csv|parquet)$/i.test(path));
  check(
    other.length === 0,
    "unsupported",
    `${root}: Tintype reads no ${few(other.map(({ path }) => path))}. Save the table as ` +
      `${METADATA}: one {"file_name": ..., "${spec.captionColumn}": ...} a line.`,
  );
  const captions = files.filter(({ path }) => /\.txt$/i.test(path));
  const texts = await concurrently(captions, AT_ONCE, async ({ path, size }) => {
    check(
      size <= MAX_CAPTION_BYTES,
      "bad-file",
      `${root}/${path}: ${size} bytes are no caption, at most ${MAX_CAPTION_BYTES} are. Remove the file.`,
    );
    const file = await platform.openFile(`${root}/${path}`);
    const text = captionText(await file.read(0, size));
    check(
      text !== undefined,
      "bad-file",
      `${root}/${path}: this caption is not UTF-8 text. Save it as UTF-8.`,
    );
    return [stemOf(path), text] as const;
  });
  const tables = files.filter(({ path }) => path === `${folderOf(path)}${METADATA}`);
  const metadata = await concurrently(tables, AT_ONCE, async ({ path }) => {
    const file = await platform.openFile(`${root}/${path}`);
    return [folderOf(path), await readMetadata(file, folderOf(path), spec.captionColumn)] as const;
  });
  return { texts: new Map(texts), metadata: new Map(metadata) };
}

/** Captions without pictures. */
function checkOrphans(root: string, pictures: readonly string[], words: Words): void {
  const stems = new Map<string, string[]>();
  for (const path of pictures) stems.set(stemOf(path), [...(stems.get(stemOf(path)) ?? []), path]);
  const orphans = [...words.texts.keys()].filter((stem) => !stems.has(stem));
  check(
    orphans.length === 0,
    "bad-file",
    `${root}: ${counted(orphans.length, "caption has", "captions have")} no picture: ${few(orphans.map((s) => `${s}.txt`))}. ` +
      `Add the pictures (${PICTURE_ENDINGS}) or remove the captions.`,
  );
  const known = new Set(pictures);
  for (const [folder, rows] of words.metadata) {
    const missing = [...rows.keys()].filter((path) => !known.has(path));
    check(
      missing.length === 0,
      "bad-file",
      `${root}/${folder}${METADATA}: ${counted(missing.length, "of its pictures is", "of its pictures are")} not there: ` +
        `${few(missing)}. Add the pictures or remove their lines.`,
    );
  }
  for (const [stem, twins] of stems) {
    if (twins.length === 1 || !words.texts.has(stem)) continue;
    throw new TintypeError(
      "bad-file",
      `${root}: ${stem}.txt could be the caption of ${few(twins)}. Give each picture a name of its own.`,
    );
  }
}

/** The caption of a picture; undefined where there is none. */
function captionFor(root: string, path: string, words: Words): string | undefined {
  const text = words.texts.get(stemOf(path));
  const rows = governing(words.metadata, path);
  const row = rows?.get(path);
  if (rows === undefined || text === undefined) return text ?? row?.caption;
  check(
    row !== undefined,
    "bad-file",
    `${root}: ${path} has a caption in ${stemOf(path)}.txt, but its folder has a ${METADATA} that ` +
      "does not list it. Keep all captions in one of the two.",
  );
  check(
    row.caption === text,
    "bad-file",
    `${root}: ${path} has two captions: "${text}" in ${stemOf(path)}.txt and ` +
      `"${row.caption ?? ""}" in ${METADATA}, line ${row.line}. Remove one of them.`,
  );
  return text;
}

/**
 * Pictures below a folder with a caption each: in `name.txt` beside `name.png`, or in a
 * `metadata.jsonl` as Hugging Face's imagefolder has it, for its own folder and those below. Throws
 * errors that name the files for captions without pictures, pictures without captions (unless they
 * are optional), and captions that contradict each other.
 */
export async function listFolder(platform: Platform, spec: FolderSpec): Promise<Listing> {
  const root = platform.resolve(spec.path);
  const stat = await platform.stat(root);
  check(stat !== undefined, "not-found", `data: there is no folder ${root}. Check "path".`);
  check(
    stat.kind === "folder",
    "bad-argument",
    `data: ${root} is a file, expected a folder of pictures.${root.endsWith(".tar") ? ' Tar files are of kind "webdataset".' : ""}`,
  );
  const files = await walk(platform, root);
  const pictures = files.filter(({ path }) => isPicture(path));
  check(
    pictures.length > 0,
    "bad-file",
    `data: there are no pictures (${PICTURE_ENDINGS}) in ${root} and the folders in it.`,
  );
  const words = await readWords(platform, root, files, spec);
  checkOrphans(
    root,
    pictures.map(({ path }) => path),
    words,
  );
  const mute: string[] = [];
  const entries = pictures.map(({ path, size }): Entry => {
    const caption = captionFor(root, path, words) ?? "";
    if (caption === "") mute.push(path);
    return { ref: { path: `${root}/${path}`, name: path, offset: 0, length: size }, caption };
  });
  check(
    mute.length === 0 || spec.captions === "optional",
    "bad-file",
    `${root}: ${withoutCaption(mute.length, pictures.length)}: ${few(mute)}. Write ` +
      `name.txt beside each or a ${METADATA}, or set "captions" to "optional".`,
  );
  const stamps = pictures.map(({ path, size, modified }) => `${path} ${size} ${modified}`);
  const fingerprint = await fingerprintOf(platform, stamps, entries);
  return { name: root, entries, skipped: new Map(), fingerprint };
}
