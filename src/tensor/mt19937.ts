/*
 * PyTorch's CPU generator: MT19937, its uniform and its normal numbers, bit for bit as an x86 build
 * with AVX2 (so also on AVX-512 machines) prints them.
 */

const N = 624;
const M = 397;
const { fround } = Math;

/**
 * Mersenne Twister MT19937: each call draws 32 bits, as an unsigned integer. Source: Matsumoto and
 * Nishimura 1998.
 */
export function mt19937(seed: number): () => number {
  const state = new Uint32Array(N);
  state[0] = seed;
  for (let i = 1; i < N; i++) {
    const last = state[i - 1]!;
    state[i] = Math.imul(1812433253, last ^ (last >>> 30)) + i;
  }
  let next = N;
  return () => {
    if (next === N) {
      refill(state);
      next = 0;
    }
    let y = state[next++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

function refill(state: Uint32Array): void {
  for (let i = 0; i < N; i++) {
    const y = (state[i]! & 0x80000000) | (state[(i + 1) % N]! & 0x7fffffff);
    state[i] = state[(i + M) % N]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
  }
}

/** `torch.Generator` on the CPU; every draw goes on where the last one stopped. */
export interface TorchGenerator {
  /** `torch.rand(n)`: float32 in [0, 1), multiples of 2^-24. */
  rand(n: number): Float32Array<ArrayBuffer>;
  /** `torch.randn(n)`: standard normal float32. */
  randn(n: number): Float32Array<ArrayBuffer>;
}

/** `torch.Generator().manual_seed(seed)`; only the low 32 bits of the seed count. */
export function torchGenerator(seed: bigint): TorchGenerator {
  const bits = mt19937(Number(BigInt.asUintN(32, seed)));
  const uniform = (): number => (bits() & 0xffffff) * 2 ** -24;
  const uniform53 = (): number => {
    const high = bits() & 0x1fffff;
    return (high * 2 ** 32 + bits()) * 2 ** -53;
  };
  let spare: number | undefined;

  /** One number at a time in float64; the second of each pair waits for the next call. */
  function serialNormal(): number {
    if (spare !== undefined) {
      const value = spare;
      spare = undefined;
      return value;
    }
    const theta = 2 * Math.PI * uniform53();
    const radius = Math.sqrt(-2 * Math.log1p(-uniform53()));
    spare = radius * Math.sin(theta);
    return radius * Math.cos(theta);
  }

  function rand(n: number): Float32Array<ArrayBuffer> {
    const out = new Float32Array(n);
    for (let i = 0; i < n; i++) out[i] = uniform();
    return out;
  }

  function randn(n: number): Float32Array<ArrayBuffer> {
    if (n < 16) return Float32Array.from({ length: n }, serialNormal);
    const out = rand(n);
    for (let i = 0; i + 16 <= n; i += 16) boxMuller16(out, i);
    if (n % 16 !== 0) {
      // The tail is not a block of its own: the last 16 numbers are drawn again.
      out.set(rand(16), n - 16);
      boxMuller16(out, n - 16);
    }
    return out;
  }

  return { rand, randn };
}

/**
 * Turns 16 uniform numbers at `at` into normal ones: number j gives the radius, j + 8 the angle of
 * the pair.
 */
function boxMuller16(data: Float32Array, at: number): void {
  for (let j = at; j < at + 8; j++) {
    const radius = fround(Math.sqrt(fround(-2 * logf(1 - data[j]!))));
    const theta = fround(TWO_PI * data[j + 8]!);
    const octant = evenOctant(theta);
    const rest = remainder(theta, octant);
    const [along, across] = [radius * cosf(rest), radius * sinf(rest)];
    const turned = (octant & 2) !== 0;
    const [cosine, sine] = turned ? [-across, along] : [along, across];
    data[j] = octant & 4 ? -cosine : cosine;
    data[j + 8] = octant & 4 ? -sine : sine;
  }
}

/*
 * Logarithm, sine and cosine in float32, to the last bit as PyTorch's AVX2 code has them: the
 * Cephes polynomials (Moshier 1984), with those products fused into sums that its compiler fuses.
 */

/** pi / 4 in three parts, whose products with small integers are exact. */
const [QUARTER_PI_1, QUARTER_PI_2, QUARTER_PI_3] = [
  fround(0.78515625),
  fround(2.4187564849853516e-4),
  fround(3.774894977445941e-8),
];
const FOUR_OVER_PI: number = fround(4 / Math.PI);
const TWO_PI: number = fround(2 * Math.PI);
const SQRT_HALF: number = fround(Math.SQRT1_2);
/** ln 2 in two parts. */
const [LN2_HIGH, LN2_LOW] = [fround(0.693359375), fround(-2.1219444e-4)];

/** a * b + c rounded once: a float32 product is exact in float64. */
function fma(a: number, b: number, c: number): number {
  return fround(a * b + c);
}

/**
 * ln x for x = m * 2^e, from ln(1 + f) = f - f^2 / 2 + f^3 P(f), f = m - 1; m in [sqrt(1/2),
 * sqrt(2)).
 */
function logf(x: number): number {
  let e = 0;
  let m = x;
  for (; m < SQRT_HALF; e--) m *= 2;
  const f = m - 1;
  const ff = fround(f * f);
  let p = fma(fround(7.0376836292e-2), f, fround(-1.151461031e-1));
  p = fma(p, f, fround(1.167699874e-1));
  p = fma(p, f, fround(-1.2420140846e-1));
  p = fma(p, f, fround(1.4249322787e-1));
  p = fma(p, f, fround(-1.6668057665e-1));
  p = fma(p, f, fround(2.0000714765e-1));
  p = fma(p, f, fround(-2.4999993993e-1));
  p = fma(p, f, fround(3.3333331174e-1));
  const tail = fma(fround(p * f), ff, fround(e * LN2_LOW));
  return fma(e, LN2_HIGH, fround(f + fma(ff, -0.5, tail)));
}

/** The even multiple of pi/4 next to an angle x in [0, 2 pi]. */
function evenOctant(x: number): number {
  return (Math.trunc(fround(x * FOUR_OVER_PI)) + 1) & ~1;
}

/** x less that many quarters of pi: in [-pi/4, pi/4]. */
function remainder(x: number, octant: number): number {
  const r = fma(octant, -QUARTER_PI_2, fma(octant, -QUARTER_PI_1, x));
  return fma(octant, -QUARTER_PI_3, r);
}

/** sin r for r in [-pi/4, pi/4]. */
function sinf(r: number): number {
  const rr = fround(r * r);
  let p = fma(fround(-1.9515295891e-4), rr, fround(8.3321608736e-3));
  p = fma(p, rr, fround(-1.6666654611e-1));
  return fma(fround(p * rr), r, r);
}

/** cos r for r in [-pi/4, pi/4]. */
function cosf(r: number): number {
  const rr = fround(r * r);
  let p = fma(fround(2.443315711809948e-5), rr, fround(-1.388731625493765e-3));
  p = fma(p, rr, fround(4.166664568298827e-2));
  return fround(fma(fround(p * rr), rr, rr * -0.5) + 1);
}
