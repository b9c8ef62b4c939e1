import type { ByteSource } from "../util/bytes.js";
import { TintypeError } from "../util/errors.js";

/** One file of a zip archive, as its central directory describes it. */
export interface ZipEntry {
  readonly name: string;
  /** 0 stored, 8 deflated. */
  readonly method: number;
  readonly encrypted: boolean;
  /** Bytes in the archive. */
  readonly length: number;
  /** Where the entry's local header begins. */
  readonly headerOffset: number;
}

const END_BYTES = 22;
const END64_BYTES = 56;
const LOCATOR64_BYTES = 20;
const MAX_COMMENT_BYTES = 0xffff;
/** Torch writes some hundred bytes for each storage; this is room for a few hundred thousand. */
const MAX_DIRECTORY_BYTES = 64 << 20;
const NOTHING_16 = 0xffff;
const NOTHING_32 = 0xffffffff;

function fail(source: ByteSource, what: string): never {
  throw new TintypeError(
    "bad-file",
    `${source.name}: ${what}. The zip archive is damaged or cut short: download it again.`,
  );
}

async function readView(source: ByteSource, offset: number, length: number): Promise<DataView> {
  if (!(offset >= 0 && offset + length <= source.size)) {
    fail(source, `expected ${length} bytes at ${offset}, but the file has ${source.size}`);
  }
  const bytes = await source.read(offset, length);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function u64(source: ByteSource, view: DataView, at: number): number {
  const value = Number(view.getBigUint64(at, true));
  if (!Number.isSafeInteger(value)) fail(source, `${value} is no offset or size`);
  return value;
}

interface Directory {
  readonly offset: number;
  readonly length: number;
  readonly count: number;
}

/** The end record, looked for from the back because a comment may follow it. */
async function findDirectory(source: ByteSource): Promise<Directory> {
  const length = Math.min(source.size, END_BYTES + MAX_COMMENT_BYTES);
  const tail = await readView(source, source.size - length, length);
  for (let at = length - END_BYTES; at >= 0; at--) {
    if (tail.getUint32(at, true) !== 0x06054b50) continue;
    if (at + END_BYTES + tail.getUint16(at + 20, true) !== length) continue;
    const count = tail.getUint16(at + 10, true);
    const size = tail.getUint32(at + 12, true);
    const offset = tail.getUint32(at + 16, true);
    const is64 = count === NOTHING_16 || size === NOTHING_32 || offset === NOTHING_32;
    const endOffset = source.size - length + at;
    // Torch writes a zip64 end record always, and fills both where the numbers fit.
    if (is64) return findDirectory64(source, endOffset - LOCATOR64_BYTES);
    return { offset, length: size, count };
  }
  return fail(source, "it has no end record");
}

async function findDirectory64(source: ByteSource, locatorOffset: number): Promise<Directory> {
  const locator = await readView(source, locatorOffset, LOCATOR64_BYTES);
  if (locator.getUint32(0, true) !== 0x07064b50) fail(source, "it has no zip64 locator");
  const end = await readView(source, u64(source, locator, 8), END64_BYTES);
  if (end.getUint32(0, true) !== 0x06064b50) fail(source, "it has no zip64 end record");
  return {
    count: u64(source, end, 32),
    length: u64(source, end, 40),
    offset: u64(source, end, 48),
  };
}

/** Replaces the 32-bit fields that are full by those of the zip64 extra field, in their order. */
function extended(source: ByteSource, extra: DataView, fields: readonly number[]): number[] {
  if (!fields.includes(NOTHING_32)) return [...fields];
  for (let at = 0; at + 4 <= extra.byteLength; ) {
    const id = extra.getUint16(at, true);
    const end = at + 4 + extra.getUint16(at + 2, true);
    let next = at + 4;
    if (id === 0x0001 && end <= extra.byteLength) {
      return fields.map((field) => {
        if (field !== NOTHING_32) return field;
        if (next + 8 > end) fail(source, "a zip64 field is missing");
        next += 8;
        return u64(source, extra, next - 8);
      });
    }
    at = end;
  }
  return fail(source, "a zip64 field is missing");
}

/** One row of the central directory, and where the next one begins. */
function parseEntry(
  source: ByteSource,
  view: DataView,
  at: number,
): { entry: ZipEntry; next: number } {
  if (at + 46 > view.byteLength || view.getUint32(at, true) !== 0x02014b50) {
    fail(source, "its central directory is broken");
  }
  const nameLength = view.getUint16(at + 28, true);
  const extraLength = view.getUint16(at + 30, true);
  const next = at + 46 + nameLength + extraLength + view.getUint16(at + 32, true);
  if (next > view.byteLength) fail(source, "its central directory is broken");
  const name = new Uint8Array(view.buffer, view.byteOffset + at + 46, nameLength);
  const extra = new DataView(view.buffer, view.byteOffset + at + 46 + nameLength, extraLength);
  const fields = [
    view.getUint32(at + 24, true), // size, unpacked
    view.getUint32(at + 20, true), // size in the archive
    view.getUint32(at + 42, true), // local header
  ];
  const [, length, headerOffset] = extended(source, extra, fields);
  const entry: ZipEntry = {
    name: new TextDecoder().decode(name),
    method: view.getUint16(at + 10, true),
    encrypted: (view.getUint16(at + 8, true) & 1) !== 0,
    length: length!,
    headerOffset: headerOffset!,
  };
  return { entry, next };
}

/**
 * The entries of a zip archive by name, zip64 included; nothing is unpacked. Of two entries with a
 * name the archive is refused. Source: PKWARE APPNOTE 6.3.10, sections 4.3 to 4.5.
 */
export async function readZipDirectory(source: ByteSource): Promise<ReadonlyMap<string, ZipEntry>> {
  const { offset, length, count } = await findDirectory(source);
  if (length > MAX_DIRECTORY_BYTES) fail(source, `its central directory claims ${length} bytes`);
  const view = await readView(source, offset, length);
  const entries = new Map<string, ZipEntry>();
  for (let at = 0; at < view.byteLength; ) {
    const { entry, next } = parseEntry(source, view, at);
    if (entries.has(entry.name)) fail(source, `it has two entries ${JSON.stringify(entry.name)}`);
    entries.set(entry.name, entry);
    at = next;
  }
  if (entries.size !== count) {
    fail(source, `its directory promises ${count} entries and lists ${entries.size}`);
  }
  return entries;
}

/**
 * Where an entry's bytes lie in the archive. Throws "unsupported" when they are packed or
 * encrypted: only stored bytes can be read in place.
 */
export async function locateEntry(source: ByteSource, entry: ZipEntry): Promise<number> {
  if (entry.method !== 0 || entry.encrypted) {
    const how = entry.encrypted ? "encrypted" : entry.method === 8 ? "deflated" : "packed";
    throw new TintypeError(
      "unsupported",
      `${source.name}: ${entry.name} is ${how} (zip method ${entry.method}); torch.save stores ` +
        "its entries as they are. Unpack the archive and pack it again without compression.",
    );
  }
  const header = await readView(source, entry.headerOffset, 30);
  if (header.getUint32(0, true) !== 0x04034b50) fail(source, `${entry.name} has no local header`);
  // The local extra field may differ from the directory's: torch pads it to align the data.
  const skip = 30 + header.getUint16(26, true) + header.getUint16(28, true);
  const offset = entry.headerOffset + skip;
  if (offset + entry.length > source.size) {
    fail(source, `${entry.name} runs from ${offset} to ${offset + entry.length}, past the end`);
  }
  return offset;
}
