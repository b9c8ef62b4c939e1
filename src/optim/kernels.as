// The loops of the optimizers over float32 arrays, in AssemblyScript: four numbers at a time.
// Arrays begin at multiples of 16 bytes and are followed by zeros up to a multiple of 64 bytes, so
// that no loop has a tail. `end` is where the first array ends. Every operation is rounded to float32
// as the plain kernels in kernels.ts do it, so both give the same bits.
// Compile with: npx tsx scripts/buildKernels.ts

// @ts-ignore: decorator
@inline const LANES: usize = 16;

/** Adam and AdamW. Kingma & Ba 2015, Algorithm 1; Loshchilov & Hutter 2019, Algorithm 2. */
export function adam(
  p: usize, g: usize, m: usize, v: usize, end: usize,
  scale: f32, l2: f32, shrink: f32, share1: f32, beta2: f32, share2: f32,
  stepSize: f32, rootScale: f32, epsilon: f32,
): void {
  const scales = f32x4.splat(scale), l2s = f32x4.splat(l2), shrinks = f32x4.splat(shrink);
  const shares1 = f32x4.splat(share1), betas2 = f32x4.splat(beta2), shares2 = f32x4.splat(share2);
  const sizes = f32x4.splat(stepSize), roots = f32x4.splat(rootScale), epsilons = f32x4.splat(epsilon);
  for (; p < end; p += LANES, g += LANES, m += LANES, v += LANES) {
    let x = v128.load(p);
    const d = f32x4.add(f32x4.mul(v128.load(g), scales), f32x4.mul(l2s, x));
    const old = v128.load(m);
    const first = f32x4.add(old, f32x4.mul(shares1, f32x4.sub(d, old)));
    const second = f32x4.add(
      f32x4.mul(v128.load(v), betas2),
      f32x4.mul(f32x4.mul(shares2, d), d),
    );
    v128.store(m, first);
    v128.store(v, second);
    const root = f32x4.add(f32x4.mul(f32x4.sqrt(second), roots), epsilons);
    x = f32x4.sub(f32x4.mul(x, shrinks), f32x4.div(f32x4.mul(sizes, first), root));
    v128.store(p, x);
  }
}

/** Gradient descent without momentum. */
export function sgd(p: usize, g: usize, end: usize, scale: f32, l2: f32, rate: f32): void {
  const scales = f32x4.splat(scale), l2s = f32x4.splat(l2), rates = f32x4.splat(rate);
  for (; p < end; p += LANES, g += LANES) {
    const x = v128.load(p);
    const d = f32x4.add(f32x4.mul(v128.load(g), scales), f32x4.mul(l2s, x));
    v128.store(p, f32x4.sub(x, f32x4.mul(rates, d)));
  }
}

/** Gradient descent with momentum: moves by `direct` times the gradient plus `carried` times the buffer. */
export function momentum(
  p: usize, g: usize, b: usize, end: usize,
  scale: f32, l2: f32, rate: f32, momentum: f32, direct: f32, carried: f32,
): void {
  const scales = f32x4.splat(scale), l2s = f32x4.splat(l2), rates = f32x4.splat(rate);
  const momenta = f32x4.splat(momentum), directs = f32x4.splat(direct), carries = f32x4.splat(carried);
  for (; p < end; p += LANES, g += LANES, b += LANES) {
    const x = v128.load(p);
    const d = f32x4.add(f32x4.mul(v128.load(g), scales), f32x4.mul(l2s, x));
    const buffer = f32x4.add(f32x4.mul(momenta, v128.load(b)), d);
    v128.store(b, buffer);
    const move = f32x4.add(f32x4.mul(directs, d), f32x4.mul(carries, buffer));
    v128.store(p, f32x4.sub(x, f32x4.mul(rates, move)));
  }
}

/** Lion. Chen et al. 2023, Algorithm 2. */
export function lion(
  p: usize, g: usize, m: usize, end: usize,
  scale: f32, shrink: f32, rate: f32, share1: f32, share2: f32,
): void {
  const scales = f32x4.splat(scale), shrinks = f32x4.splat(shrink), rates = f32x4.splat(rate);
  const shares1 = f32x4.splat(share1), shares2 = f32x4.splat(share2), zeros = f32x4.splat(0);
  for (; p < end; p += LANES, g += LANES, m += LANES) {
    const old = v128.load(m);
    const d = f32x4.sub(f32x4.mul(v128.load(g), scales), old);
    const c = f32x4.add(old, f32x4.mul(shares1, d));
    const up = v128.and(rates, f32x4.gt(c, zeros));
    const down = v128.and(rates, f32x4.lt(c, zeros));
    v128.store(p, f32x4.sub(f32x4.mul(v128.load(p), shrinks), f32x4.sub(up, down)));
    v128.store(m, f32x4.add(old, f32x4.mul(shares2, d)));
  }
}

/** a += share * (b - a) */
export function lerp(a: usize, b: usize, end: usize, share: f32): void {
  const shares = f32x4.splat(share);
  for (; a < end; a += LANES, b += LANES) {
    const x = v128.load(a);
    v128.store(a, f32x4.add(x, f32x4.mul(shares, f32x4.sub(v128.load(b), x))));
  }
}

/** a += b */
export function add(a: usize, b: usize, end: usize): void {
  for (; a < end; a += LANES, b += LANES) {
    v128.store(a, f32x4.add(v128.load(a), v128.load(b)));
  }
}

// @ts-ignore: decorator
@inline function low(x: v128): v128 {
  const d = f64x2.promote_low_f32x4(x);
  return f64x2.mul(d, d);
}

// @ts-ignore: decorator
@inline function high(x: v128): v128 {
  return low(i64x2.shuffle(x, x, 1, 0));
}

/** The sum of x * x in float64: eight partial sums, one for each place in a group of eight. */
export function sumOfSquares(x: usize, end: usize): f64 {
  let a = f64x2.splat(0), b = f64x2.splat(0), c = f64x2.splat(0), d = f64x2.splat(0);
  for (; x < end; x += 2 * LANES) {
    const left = v128.load(x), right = v128.load(x, 16);
    a = f64x2.add(a, low(left));
    b = f64x2.add(b, high(left));
    c = f64x2.add(c, low(right));
    d = f64x2.add(d, high(right));
  }
  const all = f64x2.add(f64x2.add(a, b), f64x2.add(c, d));
  return f64x2.extract_lane(all, 0) + f64x2.extract_lane(all, 1);
}
