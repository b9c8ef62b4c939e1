import { invariant } from "../util/errors.js";
import { toFloat32 } from "./convert.js";
import { QUANTIZE_WASM } from "./quantizeWasm.js";
import type { Rounding } from "./recipe.js";

/** A matrix in 8 bits. */
export interface Quantized {
  /** Whole numbers. */
  readonly values: Int8Array<ArrayBuffer>;
  /** What one of them stands for, by row. */
  readonly scale: Float32Array<ArrayBuffer>;
  /** sqrt(sum of squares) of each row. */
  readonly norm: Float32Array<ArrayBuffer>;
}

/** Rounds a matrix that comes in pieces. */
export interface Rounder {
  /** The next rows, whole ones. Answers the first with a number that is not finite, if there is one. */
  add(piece: Uint8Array<ArrayBuffer>): number | undefined;
  /** The matrix, once all its rows were added. */
  finish(): Quantized;
}

/**
 * What rounds matrices to whole numbers of -limit to limit, to the nearest and ties to even, in units
 * that make the largest magnitude of each row the limit; rows of zeros have the unit 1. One matrix at a
 * time: the next one may begin when one is finished, or given up.
 */
export function rounders(): (rounding: Rounding) => Rounder {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const wasm = Uint8Array.from(atob(QUANTIZE_WASM), (c) => c.charCodeAt(0));
  const module = new WebAssembly.Module(wasm);
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  return (rounding) => rounder(exports as unknown as Loops, memory, rounding);
}

type Loop = (...numbers: readonly number[]) => number;

/** The loops of quantize.as, which says what they take. */
type Loops = Readonly<Record<"quantize" | "widenHalves" | "widenBrains" | "transpose", Loop>>;

const PAGE = 65536;

/** Bytes that are worked on at once, so that they stay in the processor's cache; a row at least. */
const BLOCK = 1 << 18;

/** Rows that are transposed together. */
const TILE = 16;

function rounder(loops: Loops, memory: WebAssembly.Memory, rounding: Rounding): Rounder {
  const { dtype, rows, width, limit, transposed } = rounding;
  const isHalf = dtype === "f16" || dtype === "bf16";
  const step = TILE * Math.max(1, Math.floor(BLOCK / (4 * width * TILE)));
  let end = 0;
  const take = (bytes: number): number => {
    const at = end;
    end += Math.ceil(bytes / TILE) * TILE;
    return at;
  };
  const at = {
    ...{ scratch: take(512), scale: take(4 * rows), norm: take(4 * rows) },
    ...{ values: take(rows * width), stored: take(2 * step * width) },
    ...{ floats: take(4 * step * width), block: take(step * width) },
  };
  const missing = Math.ceil((end - memory.buffer.byteLength) / PAGE);
  if (missing > 0) memory.grow(missing);
  const bytes = new Uint8Array(memory.buffer as ArrayBuffer);
  const size = isHalf ? 2 : 4;
  let done = 0;

  /** Rows of one block, which become those from `done` on. */
  const addBlock = (block: Uint8Array, count: number): number => {
    bytes.set(block, isHalf ? at.stored : at.floats);
    if (dtype === "f16") loops.widenHalves(at.stored, at.floats, count * width);
    if (dtype === "bf16") loops.widenBrains(at.stored, at.floats, count * width);
    const values = transposed ? at.block : at.values + done * width;
    const rest = [values, at.scale + 4 * done, at.norm + 4 * done] as const;
    const broken = loops.quantize(at.floats, count, width, limit, ...rest);
    if (transposed) loops.transpose(at.block, count, width, at.values + done, rows, at.scratch);
    return broken;
  };
  const floats = (from: number, length: number): Float32Array<ArrayBuffer> =>
    new Float32Array(bytes.slice(from, from + 4 * length).buffer);
  return {
    add(piece) {
      const floating = isHalf || dtype === "f32";
      const raw = floating ? piece : new Uint8Array(toFloat32(piece, dtype).buffer);
      const rowBytes = size * width;
      invariant(
        raw.length % rowBytes === 0,
        `rounding: ${raw.length} bytes in rows of ${rowBytes}`,
      );
      invariant(done + raw.length / rowBytes <= rows, `rounding: more than ${rows} rows`);
      let broken: number | undefined;
      for (let from = 0; from < raw.length; from += step * rowBytes) {
        const block = raw.subarray(from, from + step * rowBytes);
        const count = block.length / rowBytes;
        const row = addBlock(block, count);
        if (row >= 0) broken ??= done + row;
        done += count;
      }
      return broken;
    },
    finish() {
      invariant(done === rows, `rounding: ${done} of ${rows} rows`);
      const values = new Int8Array(bytes.slice(at.values, at.values + rows * width).buffer);
      return { values, scale: floats(at.scale, rows), norm: floats(at.norm, rows) };
    },
  };
}
