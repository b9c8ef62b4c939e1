import type { Hasher } from "../types.js";

/** First `count` primes' roots: the fractional 32 bits of p^(1/root). */
function primeRoots(count: number, root: 2 | 3): Int32Array {
  const primes: number[] = [];
  for (let n = 2; primes.length < count; n++) if (primes.every((p) => n % p !== 0)) primes.push(n);
  const fraction = (x: number): number => (x - Math.floor(x)) * 2 ** 32;
  return Int32Array.from(primes, (p) => fraction(root === 2 ? Math.sqrt(p) : Math.cbrt(p)) | 0);
}

const BLOCK = 64;

/**
 * SHA-256 of a stream of bytes, which a browser's own `crypto.subtle` cannot do: it wants gigabytes
 * at once. Source: FIPS 180-4, section 6.2; the constants are those of 4.2.2 and 5.3.3.
 */
export function sha256(): Hasher {
  const k = primeRoots(64, 3);
  const state = primeRoots(8, 2);
  const w = new Int32Array(64);
  const rest = new Uint8Array(BLOCK);
  let length = 0;
  const update = (chunk: Uint8Array): void => {
    const filled = length % BLOCK;
    length += chunk.byteLength;
    let at = 0;
    if (filled > 0) {
      at = Math.min(BLOCK - filled, chunk.byteLength);
      rest.set(chunk.subarray(0, at), filled);
      if (filled + at < BLOCK) return;
      compress(state, k, w, rest, 0);
    }
    for (; at + BLOCK <= chunk.byteLength; at += BLOCK) compress(state, k, w, chunk, at);
    rest.set(chunk.subarray(at));
  };
  return {
    update,
    digest() {
      const bits = length * 8;
      const padding = new Uint8Array(BLOCK - ((length + 8) % BLOCK) + 8);
      padding[0] = 0x80;
      const view = new DataView(padding.buffer);
      view.setUint32(padding.byteLength - 8, Math.floor(bits / 2 ** 32));
      view.setUint32(padding.byteLength - 4, bits % 2 ** 32);
      update(padding);
      return Promise.resolve(
        Array.from(state, (x) => (x >>> 0).toString(16).padStart(8, "0")).join(""),
      );
    },
  };
}

const rotate = (x: number, n: number): number => (x >>> n) | (x << (32 - n));

/** One block of 64 bytes into the state, in the letters of FIPS 180-4. */
function compress(
  state: Int32Array,
  k: Int32Array,
  w: Int32Array,
  bytes: Uint8Array,
  at: number,
): void {
  for (let t = 0; t < 16; t++) {
    const i = at + 4 * t;
    w[t] = (bytes[i]! << 24) | (bytes[i + 1]! << 16) | (bytes[i + 2]! << 8) | bytes[i + 3]!;
  }
  for (let t = 16; t < 64; t++) {
    const x = w[t - 15]!;
    const y = w[t - 2]!;
    const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3);
    const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10);
    w[t] = (((w[t - 16]! + s0) | 0) + ((w[t - 7]! + s1) | 0)) | 0;
  }
  let a = state[0]!;
  let b = state[1]!;
  let c = state[2]!;
  let d = state[3]!;
  let e = state[4]!;
  let f = state[5]!;
  let g = state[6]!;
  let h = state[7]!;
  for (let t = 0; t < 64; t++) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const t1 = (((h + s1) | 0) + ((((e & f) ^ (~e & g)) + ((k[t]! + w[t]!) | 0)) | 0)) | 0;
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  state[0] = state[0]! + a;
  state[1] = state[1]! + b;
  state[2] = state[2]! + c;
  state[3] = state[3]! + d;
  state[4] = state[4]! + e;
  state[5] = state[5]! + f;
  state[6] = state[6]! + g;
  state[7] = state[7]! + h;
}
