import { check, TintypeError } from "../util/errors.js";

/*
 * What decoding has in common everywhere; the decoders themselves belong to the platforms.
 */

/** More pixels than this are taken for a decompression bomb, as Pillow takes them. */
export const MAX_PIXELS = 178_956_970;

/** Throws "bad-file" when a picture has more than `MAX_PIXELS` pixels. */
export function checkPixels(name: string, width: number, height: number): void {
  check(
    width * height <= MAX_PIXELS,
    "bad-file",
    `${name}: ${width}x${height} pixels are more than the ${MAX_PIXELS} that Tintype reads. Make it smaller.`,
  );
}

/** The error for bytes that no decoder takes; `formats` are those that it would have taken. */
export function unreadablePicture(name: string, cause: unknown, formats: string): TintypeError {
  const reason = (cause instanceof Error ? cause.message : String(cause)).split("\n")[0]!.trim();
  return new TintypeError(
    "bad-file",
    `${name}: cannot be read as a picture (${reason}). Expected a whole ${formats} file.`,
    { cause },
  );
}
