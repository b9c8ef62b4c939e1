import type { ByteSource } from "../../util/bytes.js";

/** A file in a tar archive: its bytes are `[offset, offset + size)`. */
export interface TarMember {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

/** What could be found in a tar archive. */
export interface TarIndex {
  readonly members: readonly TarMember[];
  /** Why what follows the members could not be read. */
  readonly problem: string | undefined;
}

const BLOCK = 512;

/** Names and other facts of one file take no more. */
const MAX_EXTENSION = 1 << 20;

/** Bytes that are read at a time: a header, a caption and the next header. */
const WINDOW = 4096;

/** Reads small pieces that lie near each other with few calls. */
function windowed(source: ByteSource): (offset: number, length: number) => Promise<Uint8Array> {
  let start = 0;
  let bytes = new Uint8Array(0);
  return async (offset, length) => {
    if (offset < start || offset + length > start + bytes.length) {
      const want = Math.min(Math.max(length, WINDOW), source.size - offset);
      [start, bytes] = [offset, await source.read(offset, want)];
    }
    return bytes.subarray(offset - start, offset - start + length);
  };
}

const latin = (bytes: Uint8Array): string => String.fromCharCode(...bytes);
const utf8 = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** The text of a field up to its first NUL. */
function field(header: Uint8Array, at: number, length: number): Uint8Array {
  const whole = header.subarray(at, at + length);
  const end = whole.indexOf(0);
  return end < 0 ? whole : whole.subarray(0, end);
}

/** A number in octal digits, or in base 256 where its first bit is set; undefined for neither. */
function numberOf(header: Uint8Array, at: number, length: number): number | undefined {
  const bytes = header.subarray(at, at + length);
  if ((bytes[0]! & 0x80) !== 0) {
    const value = bytes.subarray(1).reduce((n, byte) => n * 256 + byte, bytes[0]! & 0x7f);
    return Number.isSafeInteger(value) ? value : undefined;
  }
  const digits = latin(field(header, at, length)).trim();
  if (digits === "") return 0;
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : undefined;
}

/** Whether a block is a header: the sum of its bytes, its own field taken as spaces, is stated in it. */
function isHeader(block: Uint8Array): boolean {
  const stated = numberOf(block, 148, 8);
  const sum = block.reduce((n, byte, i) => n + (i >= 148 && i < 156 ? 0x20 : byte), 0);
  return stated === sum;
}

function headerName(header: Uint8Array): string {
  const name = utf8(field(header, 0, 100));
  // GNU tar keeps times where POSIX has the beginning of a long name.
  const posix = latin(header.subarray(257, 263)) === "ustar\0";
  const prefix = posix ? utf8(field(header, 345, 155)) : "";
  return prefix === "" ? name : `${prefix}/${name}`;
}

/** The facts of a PAX header: lines of `length key=value`. */
function paxFacts(bytes: Uint8Array): ReadonlyMap<string, string> {
  const facts = new Map<string, string>();
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const length = space < 0 ? 0 : Number(latin(bytes.subarray(at, space)));
    if (!Number.isInteger(length) || length <= space - at) break;
    const [key, ...value] = utf8(bytes.subarray(space + 1, at + length - 1)).split("=");
    facts.set(key!, value.join("="));
    at += length;
  }
  return facts;
}

/** What headers before a file's own say of it. */
interface Extension {
  readonly name?: string;
  readonly size?: number;
}

function extensionOf(type: string, bytes: Uint8Array): Extension {
  if (type === "L") return { name: utf8(field(bytes, 0, bytes.length)) };
  if (type !== "x") return {};
  const facts = paxFacts(bytes);
  const [name, size] = [facts.get("path"), facts.get("size")];
  return {
    ...(name === undefined ? {} : { name }),
    ...(size === undefined ? {} : { size: Number(size) }),
  };
}

/**
 * The ordinary files of a tar archive and where their bytes are. An archive that is damaged or cut
 * short gives what comes before, and the reason. Source: POSIX.1-2017 pax, "ustar Interchange
 * Format" and "pax Extended Header"; GNU tar manual, "Basic Tar Format".
 */
export async function indexTar(source: ByteSource): Promise<TarIndex> {
  const members: TarMember[] = [];
  const read = windowed(source);
  let extension: Extension = {};
  const stop = (problem: string): TarIndex => ({ members, problem });
  for (let at = 0; at < source.size; ) {
    if (at + BLOCK > source.size) return stop(`it is cut short at byte ${source.size}`);
    const header = await read(at, BLOCK);
    if (header.every((byte) => byte === 0)) return { members, problem: undefined };
    if (!isHeader(header)) {
      const packed = header[0] === 0x1f && header[1] === 0x8b;
      if (at > 0) return stop(`it is damaged at byte ${at}`);
      return stop(packed ? "it is compressed: unpack it with gunzip" : "it is no tar file");
    }
    const type = String.fromCharCode(header[156]!);
    const [name, stated] = [headerName(header), numberOf(header, 124, 12)];
    const size = "LKxg".includes(type) ? stated : (extension.size ?? stated);
    if (size === undefined || !Number.isSafeInteger(size) || size < 0) {
      return stop(`it is damaged at byte ${at}: ${name} has no size`);
    }
    const offset = at + BLOCK;
    if (offset + size > source.size) {
      return stop(`it is cut short at byte ${source.size}, inside ${extension.name ?? name}`);
    }
    if ("LKxg".includes(type)) {
      if (size > MAX_EXTENSION) return stop(`it is damaged at byte ${at}: a name of ${size} bytes`);
      extension = { ...extension, ...extensionOf(type, await read(offset, size)) };
    } else {
      const plain = type === "0" || type === "\0" || type === "7";
      if (plain) members.push({ name: extension.name ?? name, offset, size });
      extension = {};
    }
    at = offset + Math.ceil(size / BLOCK) * BLOCK;
  }
  return stop("its end is missing");
}
