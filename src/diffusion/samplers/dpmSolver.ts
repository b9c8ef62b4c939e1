import { scale, sub } from "../../tensor/elementwise.js";
import { randnBatch } from "../../tensor/random.js";
import type { Tensor } from "../../tensor/tensor.js";
import { CLEAN } from "../forward.js";
import { noiseFrom } from "../parametrization.js";
import type { Denoiser, Level, Step } from "../types.js";
import { type ConstrainedOptions, combine, keep, type NoisyOptions } from "./arithmetic.js";

/** ++ solves for x0, the other for eps; "sde" solves the reverse diffusion with noise of its own. */
export type DpmSolverAlgorithm = "dpmsolver" | "dpmsolver++" | "sde-dpmsolver" | "sde-dpmsolver++";

export interface DpmSolverOptions extends NoisyOptions, ConstrainedOptions {
  readonly algorithm: DpmSolverAlgorithm;
  /** Form of the second-order step: midpoint, or Heun's, which third order always has. */
  readonly form: "midpoint" | "heun";
  /** 1, 2 or 3. */
  readonly order: number;
  /** Lower orders near the end of runs of fewer than 15 steps. */
  readonly lowerOrderFinal: boolean;
  /** Always ends on a first-order step. */
  readonly firstOrderFinal: boolean;
}

const f = Math.fround;
const exp = (x: number): number => f(Math.exp(x));

/** Half the log signal-to-noise ratio of a level, in float32 as the reference computes it. */
function lambdaOf(level: Level): number {
  return f(f(Math.log(level.alpha)) - f(Math.log(level.sigma)));
}

interface Weights {
  readonly x: number;
  /** Of the newest output and of its first and second differences. */
  readonly outputs: readonly [number, number, number];
  readonly noise: number;
}

/**
 * Exponential-integrator weights of a step of width h in lambda. Source: Lu et al. 2022,
 * DPM-Solver, sec. 3 (noise prediction) and DPM-Solver++, sec. 4 and 5 (data prediction, SDE).
 */
function weightsOf(
  from: Level,
  to: Level,
  h: number,
  o: DpmSolverOptions,
  third: boolean,
): Weights {
  const midpoint = o.form === "midpoint" && !third;
  if (o.algorithm === "dpmsolver++") {
    const decay = f(exp(-h) - 1);
    const zeroth = f(to.alpha * decay);
    const first = midpoint ? f(-0.5 * zeroth) : f(to.alpha * f(f(decay / h) + 1));
    const second = f(-to.alpha * f(f(f(decay + h) / f(h * h)) - 0.5));
    return { x: f(to.sigma / from.sigma), outputs: [-zeroth, first, second], noise: 0 };
  }
  if (o.algorithm === "sde-dpmsolver++") {
    const h2 = f(2 * h);
    const growth = f(1 - exp(-h2));
    const zeroth = f(to.alpha * growth);
    const first = midpoint ? f(0.5 * zeroth) : f(to.alpha * f(f(growth / -h2) + 1));
    const second = f(to.alpha * f(f(f(growth - h2) / f(h2 * h2)) - 0.5));
    const x = f(f(to.sigma / from.sigma) * exp(-h));
    return { x, outputs: [zeroth, first, second], noise: f(to.sigma * f(Math.sqrt(growth))) };
  }
  const growth = f(exp(h) - 1);
  const zeroth = f(to.sigma * growth);
  const slope = f(to.sigma * f(f(growth / h) - 1));
  const second = f(-to.sigma * f(f(f(growth - h) / f(h * h)) - 0.5));
  const x = f(to.alpha / from.alpha);
  if (o.algorithm === "dpmsolver") {
    return { x, outputs: [-zeroth, midpoint ? f(-0.5 * zeroth) : -slope, second], noise: 0 };
  }
  const noise = f(to.sigma * f(Math.sqrt(f(exp(f(2 * h)) - 1))));
  return { x, outputs: [-2 * zeroth, midpoint ? -zeroth : -2 * slope, 0], noise };
}

/** First and second divided differences of the outputs (newest first), in units of the step h. */
function differences(outputs: readonly Tensor[], lambdas: readonly number[], h: number): Tensor[] {
  const [m0, m1, m2] = outputs as [Tensor, Tensor, Tensor | undefined];
  const [l0, l1, l2] = lambdas as [number, number, number];
  const r0 = f(f(l0 - l1) / h);
  const d0 = scale(sub(m0, m1), f(1 / r0));
  if (m2 === undefined) return [d0];
  const r1 = f(f(l1 - l2) / h);
  const bend = sub(d0, scale(sub(m1, m2), f(1 / r1)));
  const sum = f(r0 + r1);
  return [combine([1, d0], [f(r0 / sum), bend]), scale(bend, f(1 / sum))];
}

/**
 * DPM-Solver and DPM-Solver++, multistep, orders 1 to 3, as ODE or SDE: DPM++ 2M and DPM++ 2M SDE.
 * Source: Lu et al. 2022, DPM-Solver++, algorithm 2; diffusers DPMSolverMultistepScheduler.
 * x [B,C,H,W]; levels: variance preserving, noise falling, one more than there are steps. The SDE
 * forms draw once per step.
 */
export async function* dpmSolver(
  denoise: Denoiser,
  x: Tensor,
  levels: readonly Level[],
  options: DpmSolverOptions,
): AsyncGenerator<Step> {
  const { algorithm, order, lowerOrderFinal, firstOrderFinal, noise } = options;
  const { begin = 0, afterStep = keep, constrain = keep } = options;
  const last = levels.length - 2;
  const short = lowerOrderFinal && last + 1 < 15;
  let outputs: Tensor[] = []; // newest first: x0, or eps
  for (let i = begin; i <= last; i++) {
    const [level, next] = [levels[i]!, levels[i + 1]!];
    const denoised = constrain(await denoise(x, level));
    const output = algorithm.endsWith("++") ? denoised : noiseFrom(denoised, x, level);
    outputs = [output, ...outputs].slice(0, order);
    const ending = i === last && (firstOrderFinal || short) ? 1 : i === last - 1 && short ? 2 : 3;
    const used = outputs.slice(0, ending);
    const lambdas = used.map((_, k) => lambdaOf(levels[i - k]!));
    const h = f(lambdaOf(next) - lambdas[0]!);
    const weights = weightsOf(level, next, h, options, used.length === 3);
    const terms = [output, ...(used.length > 1 ? differences(used, lambdas, h) : [])];
    x = combine([weights.x, x], ...terms.map((d, k) => [weights.outputs[k]!, d] as const));
    if (algorithm.startsWith("sde")) {
      x = combine([1, x], [weights.noise, randnBatch(noise, x.shape)]);
    }
    x = afterStep(x, i < last ? next : CLEAN);
    yield { i: i - begin, count: last + 1 - begin, level, x, denoised };
  }
}
