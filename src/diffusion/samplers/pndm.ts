import { add, divide, scale, sub } from "../../tensor/elementwise.js";
import type { Tensor } from "../../tensor/tensor.js";
import { CLEAN, levelOf } from "../forward.js";
import { type PredictionType, predictionFrom } from "../parametrization.js";
import type { Denoiser, Step } from "../types.js";
import { combine, keep, type SamplerOptions } from "./arithmetic.js";

export interface PndmOptions extends SamplerOptions {
  /** Timesteps of all network calls of the whole schedule, as `pndmTimesteps` makes them. */
  readonly timesteps: readonly number[];
  /** How many of them, from the first, are Runge-Kutta calls: 12, or 0 to go without. */
  readonly rungeKutta: number;
  /** Training timesteps per step. */
  readonly stride: number;
  readonly alphasCumprod: Float32Array;
  /** alpha-bar of a timestep below 0. */
  readonly finalAlphaCumprod: number;
  /** The multistep formula averages what the network says, whichever that is. */
  readonly prediction: PredictionType;
}

/**
 * The network calls of a PNDM run from the falling timesteps of its steps: without Runge-Kutta the
 * second timestep is visited twice; with it, each of the first three steps takes four calls.
 */
export function pndmTimesteps(
  steps: readonly number[],
  stride: number,
  skipRungeKutta: boolean,
): { timesteps: number[]; rungeKutta: number } {
  if (skipRungeKutta) {
    return { timesteps: [...steps.slice(0, 2), ...steps.slice(1)], rungeKutta: 0 };
  }
  const half = Math.floor(stride / 2);
  const calls = [1, 2, 3].flatMap((k) => {
    const [from, to] = [steps[k - 1]!, steps[k]!];
    return [from, to + half, to + half, to];
  });
  return { timesteps: [...calls, ...steps.slice(3)], rungeKutta: calls.length };
}

/** Adams-Bashforth weights of the slopes, newest first. Source: Liu et al. 2022, eq. 12. */
function adamsBashforth(slopes: readonly Tensor[]): Tensor {
  const [a, b, c, d] = slopes as [Tensor, Tensor, Tensor, Tensor];
  if (slopes.length === 1) return a;
  if (slopes.length === 2) return divide(combine([3, a], [-1, b]), 2);
  if (slopes.length === 3) return divide(combine([23, a], [-16, b], [5, c]), 12);
  return scale(combine([55, a], [-59, b], [37, c], [-9, d]), 1 / 24);
}

/** The transfer of x from timestep t to another along a slope. Source: Liu et al. 2022, eq. 11. */
function transfer(x: Tensor, slope: Tensor, t: number, to: number, o: PndmOptions): Tensor {
  const f = Math.fround;
  const alphaBar = o.alphasCumprod[t]!;
  const target = to >= 0 ? o.alphasCumprod[to]! : o.finalAlphaCumprod;
  const [rest, restTarget] = [f(1 - alphaBar), f(1 - target)];
  const eps =
    o.prediction === "v_prediction"
      ? combine([f(Math.sqrt(alphaBar)), slope], [f(Math.sqrt(rest)), x])
      : slope;
  const divisor = f(
    f(alphaBar * f(Math.sqrt(restTarget))) + f(Math.sqrt(f(f(alphaBar * rest) * target))),
  );
  const kept = scale(x, f(Math.sqrt(f(target / alphaBar))));
  return sub(kept, divide(scale(eps, f(target - alphaBar)), divisor));
}

/**
 * PNDM, and PLMS where Runge-Kutta is skipped. Liu et al. 2022, algorithm 2; diffusers
 * PNDMScheduler, whose counting of calls starts anew where a run begins in the middle.
 * x [B,C,H,W] at variance preserving levels. Yields after each network call.
 */
export async function* pndm(
  denoise: Denoiser,
  x: Tensor,
  options: PndmOptions,
): AsyncGenerator<Step> {
  const { timesteps, rungeKutta, stride, alphasCumprod, prediction } = options;
  const { begin = 0, afterStep = keep } = options;
  const count = timesteps.length - begin;
  let slopes: Tensor[] = []; // newest first
  let start = x; // where the current Runge-Kutta step, or the first multistep, began
  let sum: Tensor | undefined;
  for (let i = 0; i < count; i++) {
    const t = timesteps[begin + i]!;
    const level = levelOf(alphasCumprod, t);
    const denoised = await denoise(x, level);
    const output = predictionFrom(denoised, x, level, prediction);
    if (i < rungeKutta) {
      const phase = i % 4;
      if (phase === 0) {
        start = x;
        slopes = [output, ...slopes];
      }
      const weighted = scale(output, phase === 0 || phase === 3 ? 1 / 6 : 1 / 3);
      sum = phase === 0 || sum === undefined ? weighted : add(sum, weighted);
      const to = t - (phase % 2 === 0 ? Math.floor(stride / 2) : 0);
      x = transfer(start, phase === 3 ? sum : output, timesteps[i - phase]!, to, options);
    } else if (rungeKutta === 0 && i === 1) {
      // The second visit: the first step is taken again with the mean of both slopes.
      const mean = divide(add(output, slopes[0]!), 2);
      x = transfer(start, mean, t + stride, t, options);
    } else {
      slopes = [output, ...slopes].slice(0, 4);
      x = transfer(x, adamsBashforth(slopes), t, t - stride, options);
    }
    const next = timesteps[begin + i + 1];
    x = afterStep(x, next === undefined ? CLEAN : levelOf(alphasCumprod, next));
    yield { i, count, level, x, denoised };
  }
}
