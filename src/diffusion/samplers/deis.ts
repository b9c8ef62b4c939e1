import { divide, scale } from "../../tensor/elementwise.js";
import type { Tensor } from "../../tensor/tensor.js";
import { CLEAN } from "../forward.js";
import { noiseFrom } from "../parametrization.js";
import type { Denoiser, Level, Step } from "../types.js";
import { type ConstrainedOptions, combine, keep } from "./arithmetic.js";

export interface DeisOptions extends ConstrainedOptions {
  /** 1, 2 or 3. */
  readonly order: number;
  /** Lower orders near the end of runs of fewer than 15 steps. */
  readonly lowerOrderFinal: boolean;
}

const f = Math.fround;
const log = (x: number): number => f(Math.log(x));
const rhoOf = (level: Level): number => f(level.sigma / level.alpha);

/** Antiderivative of the Lagrange polynomial in log rho that is 1 at b and 0 at c, at rho = t. */
function linear(t: number, b: number, c: number): number {
  const top = f(t * f(f(-log(c) + log(t)) - 1));
  return f(top / f(log(b) - log(c)));
}

/** The same for the quadratic one that is 1 at b and 0 at c and d. */
function quadratic(t: number, b: number, c: number, d: number): number {
  const [lt, lc, ld] = [log(t), log(c), log(d)];
  let sum = f(lc * f(f(ld - lt) + 1));
  sum = f(f(sum - f(ld * lt)) + ld);
  sum = f(f(f(sum + f(lt * lt)) - f(2 * lt)) + 2);
  return f(f(t * sum) / f(f(log(b) - lc) * f(log(b) - ld)));
}

/** Weights of the last two or three noise estimates (newest first) over a step to rho = `to`. */
function weightsOf(to: number, rhos: readonly number[]): number[] {
  const [a, b, c] = rhos as [number, number, number | undefined];
  if (c === undefined) {
    return [f(linear(to, a, b) - linear(a, a, b)), f(linear(to, b, a) - linear(a, b, a))];
  }
  return [
    f(quadratic(to, a, b, c) - quadratic(a, a, b, c)),
    f(quadratic(to, b, c, a) - quadratic(a, b, c, a)),
    f(quadratic(to, c, a, b) - quadratic(a, c, a, b)),
  ];
}

/** DDIM's step, which is DEIS of order one. */
function firstOrder(x: Tensor, eps: Tensor, level: Level, next: Level): Tensor {
  const lambda = (l: Level): number => f(log(l.alpha) - log(l.sigma));
  const growth = f(f(Math.exp(f(lambda(next) - lambda(level)))) - 1);
  return combine([f(next.alpha / level.alpha), x], [-f(next.sigma * growth), eps]);
}

/**
 * DEIS in its log-rho multistep form, orders 1 to 3. Zhang and Chen 2022, eq. 15 with polynomials in
 * log rho; diffusers DEISMultistepScheduler. x [B,C,H,W]; levels: variance preserving, noise falling,
 * the last one above zero noise.
 */
export async function* deis(
  denoise: Denoiser,
  x: Tensor,
  levels: readonly Level[],
  options: DeisOptions,
): AsyncGenerator<Step> {
  const { order, lowerOrderFinal, begin = 0, afterStep = keep, constrain = keep } = options;
  const last = levels.length - 2;
  const short = lowerOrderFinal && last + 1 < 15;
  let estimates: Tensor[] = []; // noise, newest first
  for (let i = begin; i <= last; i++) {
    const [level, next] = [levels[i]!, levels[i + 1]!];
    const denoised = constrain(await denoise(x, level));
    estimates = [noiseFrom(denoised, x, level), ...estimates].slice(0, order);
    const used = estimates.slice(0, short ? last + 1 - i : 3);
    if (used.length === 1) {
      x = firstOrder(x, used[0]!, level, next);
    } else {
      const rhos = used.map((_, k) => rhoOf(levels[i - k]!));
      const weights = weightsOf(rhoOf(next), rhos);
      const terms = used.map((eps, k) => [weights[k]!, eps] as const);
      x = scale(combine([1, divide(x, level.alpha)], ...terms), next.alpha);
    }
    x = afterStep(x, i < last ? next : CLEAN);
    yield { i: i - begin, count: last + 1 - begin, level, x, denoised };
  }
}
