/*
 * The arithmetic of the optimizers, array by array. Transformations are written over this interface;
 * the plain kernels below define what it means, and those of memory.ts do the same to the last bit.
 */

/** What Adam's loop is told; all that does not change from element to element. */
export interface AdamNumbers {
  /** Times the gradient. */
  readonly scale: number;
  /** Share of the parameter that is added to the gradient (Adam's decay). */
  readonly l2: number;
  /** Times the parameter (AdamW's decay). */
  readonly shrink: number;
  readonly betas: readonly [number, number];
  /** Learning rate over the first moment's bias correction. */
  readonly stepSize: number;
  /** 1 over the root of the second moment's bias correction. */
  readonly rootScale: number;
  readonly epsilon: number;
}

export interface SgdNumbers {
  readonly scale: number;
  readonly l2: number;
  readonly learningRate: number;
}

export interface MomentumNumbers extends SgdNumbers {
  readonly momentum: number;
  readonly nesterov: boolean;
}

export interface LionNumbers {
  readonly scale: number;
  readonly shrink: number;
  readonly learningRate: number;
  readonly betas: readonly [number, number];
}

type Floats = Float32Array;

/** Loops over float32 arrays of one length, in place. */
export interface Kernels {
  adam(value: Floats, gradient: Floats, m: Floats, v: Floats, numbers: AdamNumbers): void;
  sgd(value: Floats, gradient: Floats, numbers: SgdNumbers): void;
  momentum(value: Floats, gradient: Floats, buffer: Floats, numbers: MomentumNumbers): void;
  lion(value: Floats, gradient: Floats, m: Floats, numbers: LionNumbers): void;
  /** average += share * (value - average) */
  lerp(average: Floats, value: Floats, share: number): void;
  /** sum += term */
  add(sum: Floats, term: Floats): void;
  /** Sum of squares in float64, always added in the same order. */
  sumOfSquares(x: Floats): number;
}

const f = Math.fround;

function adam(p: Floats, g: Floats, m: Floats, v: Floats, numbers: AdamNumbers): void {
  const [scale, l2, shrink] = [f(numbers.scale), f(numbers.l2), f(numbers.shrink)];
  const [beta1, beta2] = numbers.betas;
  const [share1, decay2, share2] = [f(1 - beta1), f(beta2), f(1 - beta2)];
  const [size, root, epsilon] = [f(numbers.stepSize), f(numbers.rootScale), f(numbers.epsilon)];
  for (let i = 0; i < p.length; i++) {
    const x = p[i]!;
    const d = f(f(g[i]! * scale) + f(l2 * x));
    const first = f(m[i]! + f(share1 * f(d - m[i]!)));
    const second = f(f(v[i]! * decay2) + f(f(share2 * d) * d));
    m[i] = first;
    v[i] = second;
    p[i] = f(x * shrink) - f(f(size * first) / f(f(f(Math.sqrt(second)) * root) + epsilon));
  }
}

function sgd(p: Floats, g: Floats, numbers: SgdNumbers): void {
  const [scale, l2, rate] = [f(numbers.scale), f(numbers.l2), f(numbers.learningRate)];
  for (let i = 0; i < p.length; i++) {
    p[i] = p[i]! - f(rate * f(f(g[i]! * scale) + f(l2 * p[i]!)));
  }
}

function momentum(p: Floats, g: Floats, b: Floats, numbers: MomentumNumbers): void {
  const [scale, l2, rate] = [f(numbers.scale), f(numbers.l2), f(numbers.learningRate)];
  const mu = f(numbers.momentum);
  const [direct, carried] = momentumShares(numbers).map(f) as [number, number];
  for (let i = 0; i < p.length; i++) {
    const d = f(f(g[i]! * scale) + f(l2 * p[i]!));
    const buffer = f(f(mu * b[i]!) + d);
    b[i] = buffer;
    p[i] = p[i]! - f(rate * f(f(direct * d) + f(carried * buffer)));
  }
}

/** What a step of momentum is made of: shares of the gradient and of the buffer. */
export function momentumShares({
  momentum,
  nesterov,
}: Pick<MomentumNumbers, "momentum" | "nesterov">): readonly [number, number] {
  return nesterov ? [1, momentum] : [0, 1];
}

function lion(p: Floats, g: Floats, m: Floats, numbers: LionNumbers): void {
  const [scale, shrink, rate] = [f(numbers.scale), f(numbers.shrink), f(numbers.learningRate)];
  const [share1, share2] = [f(1 - numbers.betas[0]), f(1 - numbers.betas[1])];
  for (let i = 0; i < p.length; i++) {
    const d = f(f(g[i]! * scale) - m[i]!);
    const c = f(m[i]! + f(share1 * d));
    p[i] = f(p[i]! * shrink) - (c > 0 ? rate : c < 0 ? -rate : 0);
    m[i] = m[i]! + f(share2 * d);
  }
}

/** Numbers that are summed apart from each other, as wide registers do it. */
const LANES = 8;

function sumOfSquares(x: Floats): number {
  const sums = new Float64Array(LANES);
  for (let i = 0; i < x.length; i++) sums[i % LANES]! += x[i]! * x[i]!;
  const pair = (at: number): number => sums[at]! + sums[at + 2]! + (sums[at + 4]! + sums[at + 6]!);
  return pair(0) + pair(1);
}

/** The kernels in plain JavaScript, over arrays that lie anywhere. */
export const PLAIN_KERNELS: Kernels = {
  adam,
  sgd,
  momentum,
  lion,
  lerp(average, value, share) {
    const s = f(share);
    for (let i = 0; i < average.length; i++) {
      average[i] = average[i]! + f(s * f(value[i]! - average[i]!));
    }
  },
  add(sum, term) {
    for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + term[i]!;
  },
  sumOfSquares,
};
