import { DTYPE_BYTES, type DType } from "../tensor/dtype.js";
import type { StoredTensor } from "../tensor/stored.js";
import { sizeOf } from "../tensor/tensor.js";
import { check } from "../util/errors.js";
import { MAX_HEADER_BYTES, SAFETENSORS_DTYPES } from "./safetensors.js";
import type { Sink } from "./tensorFile.js";

type Bytes = Uint8Array<ArrayBuffer>;

/** A tensor to be written: little-endian, row-major bytes, whole or piece by piece. */
export interface TensorToWrite {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: Bytes | Iterable<Bytes> | AsyncIterable<Bytes>;
}

/** Bytes that a copy holds in memory at a time. */
const CHUNK_BYTES = 8 << 20;

/** The bytes of a stored tensor, piece by piece, so that a file can be copied without loading it. */
export async function* storedChunks(stored: StoredTensor): AsyncGenerator<Bytes> {
  for (let at = 0; at < stored.length; at += CHUNK_BYTES) {
    const length = Math.min(CHUNK_BYTES, stored.length - at);
    yield await stored.source.read(stored.offset + at, length);
  }
}

function compareBytes(a: Bytes, b: Bytes): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    if (a[i] !== b[i]) return a[i]! - b[i]!;
  }
  return a.length - b.length;
}

interface Row {
  readonly name: string;
  readonly tensor: TensorToWrite;
  readonly dtypeName: string;
  readonly rank: number;
  readonly utf8: Bytes;
  readonly length: number;
}

/** The widest dtypes first, so that every tensor is aligned; then by the names' UTF-8 bytes. */
function sortedRows(tensors: ReadonlyMap<string, TensorToWrite>): Row[] {
  const dtypes = Object.entries(SAFETENSORS_DTYPES);
  const rows = [...tensors].map(([name, tensor]): Row => {
    check(
      name !== "__metadata__",
      "bad-argument",
      'writeSafetensors: a tensor cannot be called "__metadata__", which the format keeps for itself. Rename it.',
    );
    check(
      name.isWellFormed(),
      "bad-argument",
      `writeSafetensors: the name ${JSON.stringify(name)} is not valid Unicode. Rename the tensor.`,
    );
    const rank = dtypes.findIndex(([, dtype]) => dtype === tensor.dtype);
    const utf8 = new TextEncoder().encode(name);
    const length = sizeOf(tensor.shape) * DTYPE_BYTES[tensor.dtype];
    return { name, tensor, dtypeName: dtypes[rank]![0], rank, utf8, length };
  });
  return rows.sort((a, b) => b.rank - a.rank || compareBytes(a.utf8, b.utf8));
}

function encodeHeader(
  rows: readonly Row[],
  metadata: Readonly<Record<string, string>> | undefined,
): Bytes {
  const parts: string[] = [];
  if (metadata !== undefined) parts.push(`"__metadata__":${JSON.stringify(metadata)}`);
  let begin = 0;
  for (const { name, tensor, dtypeName, length } of rows) {
    const info = { dtype: dtypeName, shape: tensor.shape, data_offsets: [begin, begin + length] };
    parts.push(`${JSON.stringify(name)}:${JSON.stringify(info)}`);
    begin += length;
  }
  const json = new TextEncoder().encode(`{${parts.join(",")}}`);
  const header = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(json, 8);
  return header;
}

/**
 * Writes a safetensors file: header, then one tensor after the other, so that memory holds a piece
 * at a time. Byte for byte what Python's `safetensors` 0.8 writes (which shuffles the keys of
 * `metadata`; here they keep their order). Throws "bad-argument" when a tensor's bytes do not fit
 * its shape; the sink is then left incomplete.
 */
export async function writeSafetensors(
  tensors: ReadonlyMap<string, TensorToWrite>,
  metadata: Readonly<Record<string, string>> | undefined,
  sink: Sink,
): Promise<void> {
  const rows = sortedRows(tensors);
  const header = encodeHeader(rows, metadata);
  check(
    header.length - 8 <= MAX_HEADER_BYTES,
    "bad-argument",
    `writeSafetensors: the header takes ${header.length - 8} bytes, and the format allows ${MAX_HEADER_BYTES}. Write several files.`,
  );
  await sink.write(header);
  for (const { name, tensor, dtypeName, length } of rows) {
    const { bytes } = tensor;
    let written = 0;
    for await (const piece of bytes instanceof Uint8Array ? [bytes] : bytes) {
      written += piece.length;
      if (written > length) break;
      await sink.write(piece);
    }
    check(
      written === length,
      "bad-argument",
      `writeSafetensors: ${JSON.stringify(name)} ${dtypeName} [${tensor.shape}] takes ${length} bytes, ` +
        `got ${written > length ? "more" : written}.`,
    );
  }
}

/** A safetensors file in memory, piece by piece; throws as `writeSafetensors`. */
export async function encodeSafetensors(
  tensors: ReadonlyMap<string, TensorToWrite>,
  metadata: Readonly<Record<string, string>> | undefined,
): Promise<readonly Bytes[]> {
  const pieces: Bytes[] = [];
  await writeSafetensors(tensors, metadata, { write: async (piece) => void pieces.push(piece) });
  return pieces;
}
