import { divide, scale, sub } from "../../tensor/elementwise.js";
import type { Tensor } from "../../tensor/tensor.js";
import { CLEAN } from "../forward.js";
import { noiseFrom } from "../parametrization.js";
import type { Denoiser, Level, Step } from "../types.js";
import { type ConstrainedOptions, combine, keep } from "./arithmetic.js";

export interface UnipcOptions extends ConstrainedOptions {
  /** Order of the predictor; the corrector's is one more. */
  readonly order: number;
  /** The scale B(h): h itself, or exp(h) - 1. */
  readonly form: "bh1" | "bh2";
  /** Solve for x0, or for eps. */
  readonly predictX0: boolean;
  readonly lowerOrderFinal: boolean;
  /** Steps after which nothing is corrected. */
  readonly uncorrected: readonly number[];
}

const f = Math.fround;

function lambdaOf(level: Level): number {
  return f(f(Math.log(level.alpha)) - f(Math.log(level.sigma)));
}

/** Gaussian elimination with row pivoting in float32; rows hold the right side as last entry. */
function solve(system: readonly (readonly number[])[]): number[] {
  const rows = system.map((row) => [...row]);
  const n = rows.length;
  for (let c = 0; c < n; c++) {
    const pivot = rows.slice(c).reduce((p, row, k) => {
      return Math.abs(row[c]!) > Math.abs(rows[p]![c]!) ? k + c : p;
    }, c);
    [rows[c], rows[pivot]] = [rows[pivot]!, rows[c]!];
    for (const row of rows.slice(c + 1)) {
      const factor = f(row[c]! / rows[c]![c]!);
      for (let k = c; k <= n; k++) row[k] = f(row[k]! - f(factor * rows[c]![k]!));
    }
  }
  const x: number[] = Array(n).fill(0);
  for (let r = n - 1; r >= 0; r--) {
    let rest = rows[r]![n]!;
    for (let c = r + 1; c < n; c++) rest = f(rest - f(rows[r]![c]! * x[c]!));
    x[r] = f(rest / rows[r]![r]!);
  }
  return x;
}

/** What predictor and corrector share: a step between two levels, seen from past outputs. */
interface Frame {
  /** x carried over by first order, outputs taken as constant. */
  readonly base: Tensor;
  /** Scale of what the higher orders subtract. */
  readonly gain: number;
  /** Differences to the newest output, each divided by its distance in units of the step. */
  readonly slopes: readonly Tensor[];
  /** Rows of the order conditions, right side last. Source: Zhao et al. 2023, eq. 5. */
  readonly conditions: readonly (readonly number[])[];
}

/** `outputs` newest first, with the levels they were taken at; `from` is the newest one's. */
function frameOf(
  x: Tensor,
  outputs: readonly Tensor[],
  past: readonly Level[],
  to: Level,
  o: UnipcOptions,
): Frame {
  const from = past[0]!;
  const lambda = lambdaOf(from);
  const h = f(lambdaOf(to) - lambda);
  const distances = past.slice(1).map((level) => f(f(lambdaOf(level) - lambda) / h));
  const slopes = distances.map((r, k) => divide(sub(outputs[k + 1]!, outputs[0]!), r));
  const hh = o.predictX0 ? -h : h;
  const phi1 = f(Math.expm1(hh));
  const b = o.form === "bh1" ? hh : phi1;
  const nodes = [...distances, 1];
  let phi = f(f(phi1 / hh) - 1);
  let factorial = 1;
  const conditions = nodes.map((_, k) => {
    const row = nodes.map((r) => f(r ** k));
    const right = f(f(phi * factorial) / b);
    factorial *= k + 2;
    phi = f(f(phi / hh) - f(1 / factorial));
    return [...row, right];
  });
  const [keepX, target] = o.predictX0
    ? [f(to.sigma / from.sigma), to.alpha]
    : [f(to.alpha / from.alpha), to.sigma];
  const base = combine([keepX, x], [-f(target * phi1), outputs[0]!]);
  return { base, gain: f(target * b), slopes, conditions };
}

function predict(frame: Frame): Tensor {
  const { base, gain, slopes, conditions } = frame;
  if (slopes.length === 0) return base;
  const small = conditions.slice(0, -1).map((row) => row.filter((_, k) => k !== slopes.length));
  const weights = slopes.length === 1 ? [0.5] : solve(small);
  return sub(base, scale(combine(...slopes.map((d, k) => [weights[k]!, d] as const)), gain));
}

/** The predicted point again, now that the output there is known. */
function correct(frame: Frame, change: Tensor): Tensor {
  const { base, gain, slopes, conditions } = frame;
  const weights = slopes.length === 0 ? [0.5] : solve(conditions);
  const terms = [...slopes, change].map((d, k) => [weights[k]!, d] as const);
  return sub(base, scale(combine(...terms), gain));
}

/**
 * UniPC: a multistep predictor, and a corrector that uses the next step's network call, so it costs
 * none. Zhao et al. 2023, algorithms 1 and 2; diffusers UniPCMultistepScheduler.
 * x [B,C,H,W]; levels: variance preserving, noise falling, one more than there are steps.
 */
export async function* unipc(
  denoise: Denoiser,
  x: Tensor,
  levels: readonly Level[],
  options: UnipcOptions,
): AsyncGenerator<Step> {
  const { order, lowerOrderFinal, predictX0, uncorrected } = options;
  const { begin = 0, afterStep = keep, constrain = keep } = options;
  const last = levels.length - 2;
  let outputs: Tensor[] = []; // newest first: x0, or eps
  let before: { readonly x: Tensor; readonly order: number } | undefined;
  for (let i = begin; i <= last; i++) {
    const [level, next] = [levels[i]!, levels[i + 1]!];
    // levels[i - 1], levels[i - 2]...: where the outputs up to now were taken
    const past = (newest: number, n: number) =>
      Array.from({ length: n }, (_, k) => levels[newest - k]!);
    const denoised = constrain(await denoise(x, level));
    const output = predictX0 ? denoised : noiseFrom(denoised, x, level);
    if (before !== undefined && !uncorrected.includes(i - 1)) {
      const frame = frameOf(before.x, outputs, past(i - 1, before.order), level, options);
      x = correct(frame, sub(output, outputs[0]!));
    }
    const wanted = lowerOrderFinal ? Math.min(order, levels.length - 1 - i) : order;
    const used = Math.min(wanted, outputs.length + 1);
    outputs = [output, ...outputs].slice(0, order);
    before = { x, order: used };
    x = predict(frameOf(x, outputs, past(i, used), next, options));
    x = afterStep(x, i < last ? next : CLEAN);
    yield { i: i - begin, count: last + 1 - begin, level, x, denoised };
  }
}
