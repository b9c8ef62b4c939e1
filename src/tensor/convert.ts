import { invariant } from "../util/errors.js";
import type { DType } from "./dtype.js";
import type { StoredTensor } from "./stored.js";
import { type Tensor, tensor } from "./tensor.js";

/*
 * Number formats, by their bits. Arrays in memory are little-endian, as on every machine that runs
 * JavaScript. Bits move through Uint32Array views and never through a JavaScript number, because
 * an engine may rewrite the payload of a NaN that passes through one.
 */

type Floats = Float32Array<ArrayBuffer>;

/** From this many halves on, a table of all of them is worth making. */
const MANY = 2 ** 18;

/** IEEE 754 binary16 bits -> float32, exact (subnormals, infinities and NaN payloads too). */
export function f16ToF32(
  halves: Uint16Array,
  out: Floats = new Float32Array(halves.length),
): Floats {
  const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
  if (halves.length >= MANY) {
    const all = new Uint32Array(f16ToF32(Uint16Array.from({ length: 65536 }, (_, h) => h)).buffer);
    for (let i = 0; i < halves.length; i++) bits[i] = all[halves[i]!]!;
    return out;
  }
  for (let i = 0; i < halves.length; i++) {
    const h = halves[i]!;
    const sign = (h & 0x8000) << 16;
    const magnitude = h & 0x7fff;
    if (magnitude >= 0x7c00) bits[i] = sign | 0x7f800000 | ((magnitude & 0x3ff) << 13);
    else if (magnitude >= 0x0400) bits[i] = sign | ((magnitude << 13) + 0x38000000);
    else out[i] = sign === 0 ? magnitude * 2 ** -24 : magnitude * -(2 ** -24);
  }
  return out;
}

/** bfloat16 bits -> float32, exact. */
export function bf16ToF32(
  halves: Uint16Array,
  out: Floats = new Float32Array(halves.length),
): Floats {
  const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  return out;
}

/** Bits of float32 -> bits of binary16, to the nearest, ties to even. */
function roundToF16(x: number): number {
  const sign = (x >>> 16) & 0x8000;
  const magnitude = x & 0x7fffffff;
  if (magnitude > 0x7f800000) {
    const payload = (magnitude >>> 13) & 0x3ff;
    return sign | 0x7c00 | (payload === 0 ? 0x200 : payload);
  }
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) {
    // A mantissa that rounds up carries into the exponent, and from 65520 on into infinity.
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  }
  if (magnitude < 0x33000000) return sign;
  // Subnormal: shift the mantissa, with its hidden bit, down to units of 2^-24.
  const shift = 126 - (magnitude >>> 23);
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const down = mantissa >>> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (rest > half || (rest === half && (down & 1) === 1) ? down + 1 : down);
}

/** float32 -> binary16 bits, rounded to nearest, ties to even; NaN stays NaN, 65520 and up is infinite. */
export function f32ToF16(floats: Floats): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  const out = new Uint16Array(floats.length);
  for (let i = 0; i < out.length; i++) out[i] = roundToF16(bits[i]!);
  return out;
}

/** float32 -> bfloat16 bits, rounded to nearest, ties to even; NaN stays NaN. */
export function f32ToBf16(floats: Floats): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  const out = new Uint16Array(floats.length);
  for (let i = 0; i < out.length; i++) {
    const x = bits[i]!;
    const isNan = (x & 0x7fffffff) > 0x7f800000;
    // A NaN whose payload lies in the lower half alone would turn into infinity.
    if (isNan) out[i] = (x >>> 16) | ((x & 0x7f0000) === 0 ? 0x40 : 0);
    else out[i] = (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
  }
  return out;
}

/** The 256 values of float8 E4M3 (bias 7, no infinities, NaN at 0x7f and 0xff). Micikevicius 2022. */
function e4m3Values(): Floats {
  return Float32Array.from({ length: 256 }, (_, b) => {
    const sign = b < 0x80 ? 1 : -1;
    const exponent = (b >> 3) & 15;
    const mantissa = b & 7;
    if (exponent === 15 && mantissa === 7) return Number.NaN;
    if (exponent === 0) return sign * mantissa * 2 ** -9;
    return sign * (1 + mantissa / 8) * 2 ** (exponent - 7);
  });
}

type Bytes = Uint8Array<ArrayBuffer>;
type ArrayOf<T> = new (buffer: ArrayBuffer, offset: number, length: number) => T;

/** The bytes as elements of another size; copied only where they are not aligned to it. */
function view<T>(type: ArrayOf<T> & { readonly BYTES_PER_ELEMENT: number }, bytes: Bytes): T {
  const size = type.BYTES_PER_ELEMENT;
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  return new type(aligned.buffer, aligned.byteOffset, aligned.byteLength / size);
}

const TO_FLOAT32: { readonly [D in DType]: (bytes: Bytes, into?: Floats) => Floats } = {
  f64: (b) => Float32Array.from(view(Float64Array<ArrayBuffer>, b)),
  f32: (b) => view(Float32Array<ArrayBuffer>, b),
  f16: (b, into) => f16ToF32(view(Uint16Array<ArrayBuffer>, b), into),
  bf16: (b, into) => bf16ToF32(view(Uint16Array<ArrayBuffer>, b), into),
  i64: (b) => Float32Array.from(view(BigInt64Array<ArrayBuffer>, b), Number),
  i32: (b) => Float32Array.from(view(Int32Array<ArrayBuffer>, b)),
  i16: (b) => Float32Array.from(view(Int16Array<ArrayBuffer>, b)),
  i8: (b) => Float32Array.from(view(Int8Array<ArrayBuffer>, b)),
  u64: (b) => Float32Array.from(view(BigUint64Array<ArrayBuffer>, b), Number),
  u32: (b) => Float32Array.from(view(Uint32Array<ArrayBuffer>, b)),
  u16: (b) => Float32Array.from(view(Uint16Array<ArrayBuffer>, b)),
  u8: (b) => Float32Array.from(b),
  bool: (b) => Float32Array.from(b, (x) => (x === 0 ? 0 : 1)),
  f8e4m3: (b) => {
    const values = e4m3Values();
    return Float32Array.from(b, (x) => values[x]!);
  },
  f8e5m2: (b) => f16ToF32(Uint16Array.from(b, (x) => x << 8)),
};

/**
 * Little-endian elements of any dtype as float32. f64 and integers above 2^24 are rounded to the
 * nearest (64-bit integers by way of float64); f32 that is aligned is not copied, so treat the
 * result as read-only. Halves may be put in `into`, of their count.
 */
export function toFloat32(bytes: Bytes, dtype: DType, into?: Floats): Floats {
  return TO_FLOAT32[dtype](bytes, into);
}

/** float32 as little-endian bytes of a float dtype, rounded to nearest, ties to even. */
export function fromFloat32(floats: Floats, dtype: "f32" | "f16" | "bf16"): Bytes {
  const elements =
    dtype === "f32" ? floats : dtype === "f16" ? f32ToF16(floats) : f32ToBf16(floats);
  return new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength);
}

/** Brings a stored tensor to the host as float32. Throws "bad-file" when the file ends before it. */
export async function readTensor(stored: StoredTensor): Promise<Tensor> {
  const bytes = await stored.source.read(stored.offset, stored.length);
  invariant(bytes.byteLength === stored.length, `${stored.source.name}: a short read`);
  return tensor(stored.shape, toFloat32(bytes, stored.dtype));
}
