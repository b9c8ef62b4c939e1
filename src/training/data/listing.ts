import type { Platform } from "../../platform/types.js";
import { counted } from "../../util/counted.js";
import type { PictureRef } from "./protocol.js";

/** Pictures of a data set with their captions, before anything was decoded. */
export interface Listing {
  /** What messages call the data set. */
  readonly name: string;
  readonly entries: readonly Entry[];
  /** What was left out already, and why. */
  readonly skipped: ReadonlyMap<string, string>;
  /** Hexadecimal digest of names, captions, and sizes and times of the files. */
  readonly fingerprint: string;
}

export interface Entry {
  readonly ref: PictureRef;
  readonly caption: string;
}

const PICTURES = /\.(?:png|jpe?g|jfif|webp|gif|tiff?|avif)$/i;

/** Endings of the files that are taken for pictures. */
export const PICTURE_ENDINGS = "png, jpg, jpeg, webp, gif, tif, tiff, avif";

export function isPicture(path: string): boolean {
  return PICTURES.test(path);
}

/** "2 of 3 pictures have no caption" */
export function withoutCaption(count: number, pictures: number): string {
  return `${count} of ${counted(pictures, "picture")} ${count === 1 ? "has" : "have"} no caption`;
}

/** Captions, and the JSON that they stand in, are no longer. */
export const MAX_CAPTION_BYTES: number = 1 << 20;

/** A caption's bytes as text without white space around it; undefined when they are not UTF-8. */
export function captionText(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes).trim();
  } catch {
    return undefined;
  }
}

/** The digest of a listing: `files` are the files that it was made from, in words. */
export function fingerprintOf(
  platform: Platform,
  files: Iterable<string>,
  entries: readonly Entry[],
): Promise<string> {
  const hash = platform.hash("sha256");
  const encoder = new TextEncoder();
  for (const file of files) hash.update(encoder.encode(`${JSON.stringify(file)}\n`));
  for (const { ref, caption } of entries) {
    hash.update(encoder.encode(`${JSON.stringify([ref.name, ref.offset, ref.length, caption])}\n`));
  }
  return hash.digest();
}
