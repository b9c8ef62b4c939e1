import type { DType } from "../tensor/dtype.js";
import { DTYPE_BYTES } from "../tensor/dtype.js";
import type { StoredTensor } from "../tensor/stored.js";
import type { ByteSource } from "../util/bytes.js";
import { check, TintypeError } from "../util/errors.js";
import { checkHeaderKeys } from "./jsonKeys.js";
import type { TensorFile } from "./tensorFile.js";

/** The format's own limit on the header, in bytes. */
export const MAX_HEADER_BYTES = 100_000_000;

/** Names of dtypes in the header, in the order in which the reference ranks them for writing. */
export const SAFETENSORS_DTYPES: Readonly<Record<string, DType>> = {
  BOOL: "bool",
  U8: "u8",
  I8: "i8",
  F8_E5M2: "f8e5m2",
  F8_E4M3: "f8e4m3",
  I16: "i16",
  U16: "u16",
  F16: "f16",
  BF16: "bf16",
  I32: "i32",
  U32: "u32",
  F32: "f32",
  F64: "f64",
  I64: "i64",
  U64: "u64",
};

type Json = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value as a message shows it: JSON, cut where it is long. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function fail(who: string, what: string): never {
  throw new TintypeError("bad-file", `${who}: ${what}`);
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

async function readHeader(source: ByteSource): Promise<{ header: Json; dataStart: number }> {
  const who = source.name;
  const again = "It is no safetensors file or was cut short: download it again.";
  if (source.size < 8)
    fail(who, `expected a safetensors header, got ${source.size} bytes. ${again}`);
  const first = await source.read(0, 8);
  const length = new DataView(first.buffer, first.byteOffset, 8).getBigUint64(0, true);
  if (length < 2n || length > BigInt(MAX_HEADER_BYTES)) {
    fail(who, `expected a header of 2 to ${MAX_HEADER_BYTES} bytes, got ${length}. ${again}`);
  }
  const dataStart = 8 + Number(length);
  if (dataStart > source.size) {
    fail(who, `its header takes ${length} bytes, but the file has ${source.size}. ${again}`);
  }
  const header = parseHeader(who, await source.read(8, Number(length)));
  return { header, dataStart };
}

function parseHeader(who: string, bytes: Uint8Array): Json {
  let header: unknown;
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    checkHeaderKeys(who, text);
    header = JSON.parse(text);
  } catch (cause) {
    if (cause instanceof TintypeError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `${who}: its header is not JSON in UTF-8 (${reason}). Download it again.`;
    throw new TintypeError("bad-file", message, { cause });
  }
  if (!isObject(header)) fail(who, `expected a JSON object as header, got ${show(header)}.`);
  return header;
}

function parseMetadata(who: string, value: unknown): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return {};
  if (!isObject(value)) fail(who, `expected __metadata__ to be an object, got ${show(value)}.`);
  for (const [key, text] of Object.entries(value)) {
    if (typeof text === "string") continue;
    fail(who, `expected __metadata__ ${show(key)} to be a string, got ${show(text)}.`);
  }
  return value as Readonly<Record<string, string>>;
}

/** Elements of a shape; throws where the count leaves the range of exact integers. */
function elementCount(who: string, shape: readonly number[]): number {
  let count = 1;
  for (const size of shape) {
    count *= size;
    if (!Number.isSafeInteger(count))
      fail(who, `shape ${show(shape)} overflows. The header is damaged.`);
  }
  return count;
}

/** One entry of the header. Offsets come out relative to the file. */
function parseTensor(who: string, info: unknown, source: ByteSource, start: number): StoredTensor {
  if (!isObject(info)) fail(who, `expected {dtype, shape, data_offsets}, got ${show(info)}.`);
  const { dtype: dtypeName, shape, data_offsets: range } = info;
  if (typeof dtypeName !== "string") fail(who, `expected a dtype, got ${show(dtypeName)}.`);
  const known = Object.hasOwn(SAFETENSORS_DTYPES, dtypeName);
  const dtype = known ? SAFETENSORS_DTYPES[dtypeName] : undefined;
  check(
    dtype !== undefined,
    "unsupported",
    `${who}: dtype ${show(dtypeName)} is not supported. ` +
      `Convert the file to one of ${Object.keys(SAFETENSORS_DTYPES).join(", ")}.`,
  );
  if (!Array.isArray(shape) || !shape.every(isSize)) {
    fail(who, `expected a shape of whole numbers from 0 on, got ${show(shape)}.`);
  }
  if (!Array.isArray(range) || range.length !== 2 || !range.every(isSize)) {
    fail(who, `expected data_offsets [begin, end], got ${show(range)}.`);
  }
  const [begin, end] = range as [number, number];
  const length = elementCount(who, shape) * DTYPE_BYTES[dtype];
  if (end - begin !== length) {
    const wanted = `${dtypeName} ${show(shape)} takes ${length} bytes`;
    fail(
      who,
      `${wanted}, but its data_offsets ${show(range)} hold ${end - begin}. The header is damaged.`,
    );
  }
  return { dtype, shape, source, offset: start + begin, length };
}

/** The tensors must follow each other without holes or overlaps, and end where the file ends. */
function checkCoverage(
  tensors: ReadonlyMap<string, StoredTensor>,
  source: ByteSource,
  start: number,
): void {
  let end = start;
  for (const [name, { offset, length }] of tensors) {
    if (offset !== end) {
      const what = offset < end ? "overlaps the tensor before it" : "leaves a hole before it";
      const where = `begins at ${offset - start}, expected ${end - start}`;
      const tensor = `tensor ${show(name)} ${what} (${where})`;
      fail(source.name, `${tensor}. The header is damaged: download it again.`);
    }
    end = offset + length;
  }
  if (end === source.size) return;
  const kind =
    end > source.size ? "the file is cut short" : "the file has bytes that belong to no tensor";
  const sizes = `expected ${end} bytes as its header says, got ${source.size}`;
  fail(source.name, `${kind}: ${sizes}. Download it again.`);
}

/**
 * Reads the header of a safetensors file, by range; the tensors' bytes stay where they are.
 * Tensors come out in file order. Throws "bad-file" for whatever the reference refuses and for
 * duplicate names, which the format's description forbids; "unsupported" for exotic dtypes.
 * Source: huggingface/safetensors, README "Format" and safetensors/src/tensor.rs.
 */
export async function readSafetensors(source: ByteSource): Promise<TensorFile> {
  const { header, dataStart } = await readHeader(source);
  const entries: [string, StoredTensor][] = [];
  for (const [name, info] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const who = `${source.name}: tensor ${show(name)}`;
    entries.push([name, parseTensor(who, info, source, dataStart)]);
  }
  // Ties are tensors without elements: they go before the one that begins at the same place.
  entries.sort(([, a], [, b]) => a.offset - b.offset || a.length - b.length);
  const tensors = new Map(entries);
  checkCoverage(tensors, source, dataStart);
  return { tensors, metadata: parseMetadata(source.name, header.__metadata__) };
}
