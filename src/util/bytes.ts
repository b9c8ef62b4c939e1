import { TintypeError } from "./errors.js";
import { oneLine } from "./oneLine.js";

/**
 * Random access to the bytes of one file, wherever it lies: on a disk, in a Blob, behind HTTP
 * ranges, in memory. Every parser reads through this.
 */
export interface ByteSource {
  /** What messages call it, usually the path as the user gave it. */
  readonly name: string;
  /** Size in bytes. */
  readonly size: number;
  /** Absolute path, when the bytes are a real file that an engine may map into memory. */
  readonly path?: string;
  /** What the bytes are computed from, and how, where they are: equal answers stand for equal bytes. */
  readonly derived?: { readonly from: readonly ByteSource[]; readonly how: string };
  /**
   * Exactly `length` bytes from `offset`, in `into` of that length where a source can and it is given.
   * Throws "bad-file" when the file ends before.
   */
  read(
    offset: number,
    length: number,
    into?: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer>>;
}

/** Files under one root, named by relative paths with forward slashes. */
export interface Folder {
  /** What messages call it. */
  readonly name: string;
  /** Relative paths of all files below the root, sorted. */
  list(): Promise<readonly string[]>;
  /** Opens one file. Throws "not-found" when it is not there. */
  open(path: string): Promise<ByteSource>;
}

/** Throws "bad-file" when `[offset, offset + length)` is not inside a file of `size` bytes. */
export function checkRange(name: string, size: number, offset: number, length: number): void {
  if (offset >= 0 && length >= 0 && offset + length <= size) return;
  throw new TintypeError(
    "bad-file",
    `${name}: expected ${length} bytes at offset ${offset}, but the file has ${size} bytes. ` +
      "It is probably cut short: download it again.",
  );
}

/** A ByteSource over bytes in memory. */
export function memorySource(name: string, bytes: Uint8Array<ArrayBuffer>): ByteSource {
  return {
    name,
    size: bytes.byteLength,
    read(offset, length) {
      checkRange(name, bytes.byteLength, offset, length);
      return Promise.resolve(bytes.subarray(offset, offset + length));
    },
  };
}

/** The whole file as UTF-8 text. */
export async function readText(source: ByteSource): Promise<string> {
  return new TextDecoder().decode(await source.read(0, source.size));
}

/** The whole file as JSON. Throws "bad-file" when it is none. */
export async function readJson(source: ByteSource): Promise<unknown> {
  return parseJson(source.name, await readText(source));
}

/** Python's Infinity and NaN, which no JSON has, as a number beyond all others and as null. */
function standardJson(text: string): string {
  return text.replace(
    /([:,[]\s*)(-?)(Infinity|NaN)(?=\s*[,\]}])/g,
    (_, before: string, sign: string, word: string) =>
      word === "NaN" ? `${before}null` : `${before}${sign}1e999`,
  );
}

/** The JSON value of a file's text, as Python may have written it. Throws "bad-file" for any other. */
export function parseJson(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const standard = standardJson(text);
    if (standard !== text) return parseJson(name, standard);
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new TintypeError("bad-file", `${name}: not valid JSON (${oneLine(reason)}).`, { cause });
  }
}
