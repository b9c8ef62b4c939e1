import { DTYPE_BYTES } from "../tensor/dtype.js";
import type { StoredTensor } from "../tensor/stored.js";
import type { ByteSource } from "../util/bytes.js";
import { check, TintypeError } from "../util/errors.js";
import { unpickle } from "./pickle.js";
import { PickleCutError } from "./pickleReader.js";
import type { PickleHost, PickleValue } from "./pickleValues.js";
import { isContiguous, spanOf, stridedSource } from "./strided.js";
import type { TensorFile } from "./tensorFile.js";
import { flattenCheckpoint } from "./torchFlatten.js";
import {
  findTorchGlobal,
  storageDtype,
  type TorchStorage,
  type TorchTensor,
} from "./torchGlobals.js";
import { locateEntry, readZipDirectory, type ZipEntry } from "./zip.js";

/** A pickle beyond this is no model: a full Stable Diffusion checkpoint has some 300 KB. */
const MAX_PICKLE_BYTES = 64 << 20;

/** The magic number of torch.save before 1.6, as the LONG1 that its first pickle holds. */
const LEGACY_MAGIC = "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/** Bytes that tell a checkpoint's kind. */
export const MAGIC_BYTES = 32;

/** Does a file begin like a legacy checkpoint? Its first bytes, as text with one character each. */
export function isLegacyCheckpoint(head: string): boolean {
  // Before the number stand the protocol and, from protocol 4 on, the length of a frame.
  return head.startsWith("\x80") && head.slice(0, MAGIC_BYTES).includes(LEGACY_MAGIC);
}

/** Bytes as text, one character each. */
export function latin1(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

/** Where the bytes of a storage lie in the file. */
interface Place {
  readonly offset: number;
  readonly length: number;
}

type Locate = (key: string) => Promise<Place>;

function fail(source: ByteSource, what: string): never {
  throw new TintypeError("bad-file", `${source.name}: ${what}. Download it again.`);
}

/** ("storage", class, key, device, numel, view?), where a view is (key, offset, numel). */
function parseStorage(source: ByteSource, id: PickleValue): TorchStorage {
  const parts = Array.isArray(id) ? id : [];
  const [tag, type, key, , numel, view] = parts;
  const dtype = type === undefined ? undefined : storageDtype(type);
  const isNamed = tag === "storage" && (typeof key === "string" || typeof key === "number");
  if (!isNamed || dtype === undefined || !isCount(numel)) {
    return fail(source, "its pickle names a storage of no known form");
  }
  const storage: TorchStorage = {
    kind: "storage",
    key: String(key),
    dtype,
    start: 0,
    numel,
    whole: numel,
  };
  if (!Array.isArray(view)) return storage;
  const [, start, length] = view;
  if (!isCount(start) || !isCount(length) || start + length > numel) {
    return fail(source, `its view of storage ${key} leaves the ${numel} elements that it has`);
  }
  return { ...storage, start, numel: length };
}

function isCount(value: PickleValue | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** A tensor as the place of its bytes, checked against its storage and the file. */
async function place(
  source: ByteSource,
  name: string,
  tensor: TorchTensor,
  locate: Locate,
): Promise<StoredTensor> {
  const who = `tensor ${JSON.stringify(name)}`;
  const { storage, dtype, shape } = tensor;
  const item = DTYPE_BYTES[dtype];
  const elements = shape.reduce((n, size) => n * size, 1);
  const length = elements * item;
  if (!Number.isSafeInteger(length)) fail(source, `${who}: shape [${shape}] overflows`);
  const stored = storage.whole * DTYPE_BYTES[storage.dtype];
  const available = storage.numel * DTYPE_BYTES[storage.dtype];
  const needed = spanOf(tensor) === 0 ? 0 : (tensor.offset + spanOf(tensor)) * item;
  if (!(needed <= available)) {
    fail(source, `${who} needs ${needed} bytes of a storage that has ${available}`);
  }
  const bytes = await locate(storage.key);
  if (stored > bytes.length) {
    fail(source, `${who}: storage ${storage.key} should have ${stored} bytes, got ${bytes.length}`);
  }
  const start = bytes.offset + storage.start * DTYPE_BYTES[storage.dtype];
  if (length === 0) return { dtype, shape, source, offset: start, length };
  if (isContiguous(tensor)) {
    return { dtype, shape, source, offset: start + tensor.offset * item, length };
  }
  // An expanded tensor repeats its elements: no model does that to more than its own size.
  if (length > Math.max(source.size, 1 << 20)) {
    fail(source, `${who} expands ${available} bytes to ${length}`);
  }
  const copy = stridedSource(source, start, dtype, tensor, length);
  return { dtype, shape, source: copy, offset: 0, length };
}

async function toTensorFile(
  source: ByteSource,
  value: PickleValue,
  locate: Locate,
): Promise<TensorFile> {
  const { tensors: found, metadata } = flattenCheckpoint(source.name, value);
  const tensors = new Map<string, StoredTensor>();
  for (const [name, tensor] of found) {
    tensors.set(name, await place(source, name, tensor, locate));
  }
  return { tensors, metadata };
}

/* The format since 1.6: a zip of data.pkl and data/KEY. */

async function readEntry(
  source: ByteSource,
  entry: ZipEntry,
  limit: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const offset = await locateEntry(source, entry);
  check(
    entry.length <= limit,
    "unsupported",
    `${source.name}: ${entry.name} has ${entry.length} bytes, expected at most ${limit}. It is no model.`,
  );
  return source.read(offset, entry.length);
}

/** The folder inside the archive that holds data.pkl, named after the file it was saved as. */
function findRoot(source: ByteSource, entries: ReadonlyMap<string, ZipEntry>): string {
  const pickles = [...entries.keys()].filter((name) => /^(?:[^/]+\/)?data\.pkl$/.test(name));
  if (pickles.length === 1) return pickles[0]!.slice(0, -"data.pkl".length);
  const names = [...entries.keys()].slice(0, 5).join(", ");
  const hint = `a zip archive with one data.pkl, got ${pickles.length} (it holds ${names || "nothing"})`;
  throw new TintypeError(
    "unsupported",
    `${source.name}: expected ${hint}. It was not written by torch.save: unpack it, or get the .safetensors version.`,
  );
}

function requireLittleEndian(source: ByteSource, isLittle: boolean): void {
  check(
    isLittle,
    "unsupported",
    `${source.name}: written on a big-endian machine, which is not supported. Get the .safetensors version.`,
  );
}

async function readZipCheckpoint(source: ByteSource): Promise<TensorFile> {
  const entries = await readZipDirectory(source);
  const root = findRoot(source, entries);
  if (entries.has(`${root}constants.pkl`)) {
    const message = `${source.name}: a TorchScript program, not a checkpoint. Get the weights as .safetensors.`;
    throw new TintypeError("unsupported", message);
  }
  const order = entries.get(`${root}byteorder`);
  if (order !== undefined) {
    const text = new TextDecoder().decode(await readEntry(source, order, 16));
    requireLittleEndian(source, text === "little");
  }
  const bytes = await readEntry(source, entries.get(`${root}data.pkl`)!, MAX_PICKLE_BYTES);
  const host: PickleHost = {
    find: (module, name) => findTorchGlobal(source.name, module, name),
    load: (id) => parseStorage(source, id),
  };
  const { value } = unpickle(source.name, bytes, 0, host);
  const places = new Map<string, Place>();
  return toTensorFile(source, value, async (key) => {
    const known = places.get(key);
    if (known !== undefined) return known;
    const entry = entries.get(`${root}data/${key}`);
    if (entry === undefined) return fail(source, `${root}data/${key} is missing from the archive`);
    const found = { offset: await locateEntry(source, entry), length: entry.length };
    places.set(key, found);
    return found;
  });
}

/* The format before 1.6: pickles, one after the other, then the storages. */

/** Unpickles at `offset` of the file, reading ever more of it until the pickle is whole. */
async function readPickle(
  source: ByteSource,
  offset: number,
  host: PickleHost,
): Promise<{ value: PickleValue; end: number }> {
  for (let size = 1 << 20; ; size *= 8) {
    const length = Math.min(size, MAX_PICKLE_BYTES, source.size - offset);
    const bytes = await source.read(offset, length);
    try {
      const { value, end } = unpickle(source.name, bytes, 0, host);
      return { value, end: offset + end };
    } catch (error) {
      const isWhole = length === source.size - offset || length === MAX_PICKLE_BYTES;
      if (isWhole || !(error instanceof PickleCutError)) throw error;
    }
  }
}

/** Each storage: its count of elements as i64, then its bytes; in the order of `keys`. */
async function locateLegacyStorages(
  source: ByteSource,
  start: number,
  keys: PickleValue,
  known: ReadonlyMap<string, TorchStorage>,
): Promise<ReadonlyMap<string, Place>> {
  if (!Array.isArray(keys)) return fail(source, "its list of storages is missing");
  const places = new Map<string, Place>();
  let at = start;
  for (const key of keys.map(String)) {
    const storage = known.get(key);
    if (storage === undefined || places.has(key))
      fail(source, `storage ${key} belongs to no tensor`);
    if (at + 8 > source.size) fail(source, `it ends before storage ${key}`);
    const head = await source.read(at, 8);
    const count = new DataView(head.buffer, head.byteOffset, 8).getBigInt64(0, true);
    if (count !== BigInt(storage.whole)) {
      fail(source, `storage ${key} should have ${storage.whole} elements, got ${count}`);
    }
    const length = storage.whole * DTYPE_BYTES[storage.dtype];
    if (at + 8 + length > source.size) fail(source, `it ends inside storage ${key}`);
    places.set(key, { offset: at + 8, length });
    at += 8 + length;
  }
  return places;
}

async function readLegacyCheckpoint(source: ByteSource): Promise<TensorFile> {
  const known = new Map<string, TorchStorage>();
  const host: PickleHost = {
    find: (module, name) => findTorchGlobal(source.name, module, name),
    load(id) {
      const storage = parseStorage(source, id);
      known.set(storage.key, storage);
      return storage;
    },
  };
  const magic = await readPickle(source, 0, host);
  const protocol = await readPickle(source, magic.end, host);
  if (protocol.value !== 1001) fail(source, `expected torch protocol 1001, got ${protocol.value}`);
  const system = await readPickle(source, protocol.end, host);
  if (system.value instanceof Map) {
    requireLittleEndian(source, system.value.get("little_endian") !== false);
  }
  const object = await readPickle(source, system.end, host);
  const keys = await readPickle(source, object.end, host);
  const places = await locateLegacyStorages(source, keys.end, keys.value, known);
  return toTensorFile(source, object.value, async (key) => {
    return places.get(key) ?? fail(source, `storage ${key} is missing`);
  });
}

/**
 * Reads a PyTorch checkpoint (.ckpt, .pt, .pth, .bin), zip or legacy, without executing anything:
 * the pickle is interpreted here and may only name what a short list knows. Tensors come from
 * `state_dict` where there is one, else from the whole file, nested names joined by dots; they
 * point into the file itself. Scalars beside them become `metadata`.
 * Throws "unsupported" for a name that is not on the list, "bad-file" for a damaged file.
 * Source: PyTorch torch/serialization.py and torch/_utils.py.
 */
export async function readTorchCheckpoint(source: ByteSource): Promise<TensorFile> {
  const head = latin1(await source.read(0, Math.min(source.size, MAGIC_BYTES)));
  if (head.startsWith("PK")) return readZipCheckpoint(source);
  if (isLegacyCheckpoint(head)) return readLegacyCheckpoint(source);
  throw new TintypeError(
    "bad-file",
    `${source.name}: expected a zip archive or a pickle from torch.save, and it begins like neither. ` +
      "Download it again, or get the .safetensors version.",
  );
}
