import { add, scale, sub } from "./elementwise.js";
import { seedSequence } from "./seedSequence.js";
import { type Tensor, zeros } from "./tensor.js";

/**
 * Increment of a Brownian motion over [ta, tb]: float32, variance |tb - ta|, negated where ta > tb.
 */
export type BrownianMotion = (ta: number, tb: number) => Tensor;

/** Standard normal numbers of this shape from a fresh generator with this seed. */
export type SeededRandn = (shape: readonly number[], seed: bigint) => Tensor;

/** Decimals of time that are told apart, so that the tree has a bottom. */
const DIGITS = 6;
/** Words of pooled entropy. */
const POOL = 24;
/** Tree nodes whose increments are kept: enough for the paths to both ends of the last query. */
const CACHED = 64;

/**
 * Brownian motion over [t0, t1] that `seed` alone determines, whatever is asked of it and in which
 * order.
 *
 * A dyadic tree: each node's increment is split at its midpoint by a Brownian bridge whose noise is
 * seeded by the node's place. Times outside [t0, t1] count as its nearest end. Source: Li et al.
 * 2020 (arXiv 2001.01328), section 4; torchsde 0.2.6 `BrownianTree(t0, w0, t1, entropy=seed)` with
 * its defaults, whose numbers these are.
 */
export function brownianTree(
  shape: readonly number[],
  t0: number,
  t1: number,
  seed: bigint,
  randn: SeededRandn,
): BrownianMotion {
  const [low, high] = t0 < t1 ? [t0, t1] : [t1, t0];
  const [start, end] = [roundTime(low), roundTime(high)];
  const rootSeed = BigInt(seedSequence(seed, [], 1, POOL)[0]!);
  const root = scale(randn(shape, rootSeed), Math.sqrt(high - low));
  const lefts = new Map<number, Tensor>();

  /**
   * Increment over the left half of node [a, b], which moves by `whole`. Node 1 is the root, n has
   * 2n and 2n + 1.
   */
  function leftIncrement(node: number, whole: Tensor, a: number, mid: number, b: number): Tensor {
    const known = lefts.get(node);
    lefts.delete(node);
    const left = known ?? bridge(node, whole, a, mid, b);
    lefts.set(node, left);
    if (lefts.size > CACHED) lefts.delete(lefts.keys().next().value!);
    return left;
  }

  function bridge(node: number, whole: Tensor, a: number, mid: number, b: number): Tensor {
    const depth = Math.floor(Math.log2(node));
    const key = [BigInt(node - 2 ** depth), BigInt(depth)];
    const noise = randn(shape, BigInt(seedSequence(seed, key, 1, POOL)[0]!));
    const perLength = 1 / (b - a);
    const mean = scale(scale(whole, mid - a), perLength);
    return add(mean, scale(noise, Math.sqrt((mid - a) * (b - mid) * perLength)));
  }

  /**
   * Increments of the largest nodes that together make [ta, tb], in order, from those inside node
   * [a, b].
   */
  function* cover(
    node: number,
    whole: Tensor,
    [a, b]: readonly [number, number],
    [ta, tb]: readonly [number, number],
  ): Generator<Tensor> {
    if (ta <= a && tb >= b) return yield whole;
    const mid = roundTime(0.5 * (a + b));
    const left = leftIncrement(node, whole, a, mid, b);
    if (ta < mid) yield* cover(2 * node, left, [a, mid], [ta, tb]);
    if (tb > mid) yield* cover(2 * node + 1, sub(whole, left), [mid, b], [ta, tb]);
  }

  const clamp = (t: number): number => roundTime(Math.min(Math.max(t, start), end));
  return (ta, tb) => {
    const [from, to] = ta < tb ? [clamp(ta), clamp(tb)] : [clamp(tb), clamp(ta)];
    if (from === to) return zeros(shape);
    const increment = [...cover(1, root, [start, end], [from, to])].reduce(add);
    return ta < tb ? increment : scale(increment, -1);
  };
}

/** Rounds to `DIGITS` decimals, an exact half to the even one, as Python's `round(t, 6)`. */
function roundTime(t: number): number {
  const rounded = Number(t.toFixed(DIGITS));
  const isHalf = Math.abs((t * 2 ** (DIGITS + 1)) % 2) === 1;
  if (!isHalf) return rounded;
  const below = Math.floor(t * 10 ** DIGITS);
  return Number(`${below % 2 === 0 ? below : below + 1}e-${DIGITS}`);
}
