import { add, scale, sub } from "../tensor/elementwise.js";
import { type Tensor, tensor } from "../tensor/tensor.js";
import { TintypeError } from "../util/errors.js";
import type { Network } from "./parametrization.js";
import { requireRange } from "./range.js";
import type { Level } from "./types.js";

/** The network's two answers to one x: without the prompt (or to the negative one) and with it. */
export interface Pair {
  readonly uncond: Tensor;
  readonly cond: Tensor;
}

/** The network as guidance asks it: both answers in one call, or the conditional one alone. */
export interface ConditionedNetwork {
  readonly both: (x: Tensor, level: Level) => Promise<Pair>;
  readonly cond: Network;
}

export interface GuidanceOptions {
  /** Finite; 1 and less mean no guidance: only the conditional answer is computed, as in diffusers. */
  readonly scale: number;
  /** Share of the guided prediction that is rescaled to the conditional one's deviation, in [0, 1]. */
  readonly rescale?: number;
  /** Steps [from, to) that are guided; the others take the conditional answer alone. */
  readonly steps?: { readonly from: number; readonly to: number };
}

/** uncond + scale (cond - uncond). Source: Ho and Salimans 2022, eq. 6. */
export function guide(uncond: Tensor, cond: Tensor, guidanceScale: number): Tensor {
  return add(uncond, scale(sub(cond, uncond), guidanceScale));
}

/** Standard deviation with Bessel's correction, as torch.std. */
function deviation(values: Float32Array): number {
  const mean = values.reduce((s, v) => s + v, 0) / values.length;
  const squares = values.reduce((s, v) => s + (v - mean) ** 2, 0);
  return Math.fround(Math.sqrt(squares / (values.length - 1)));
}

/**
 * Brings the deviation of each guided picture back to that of the conditional prediction, mixed in
 * by `amount` in [0, 1]. Both [B,...]. Source: Lin et al. 2023, section 3.4; diffusers rescale_noise_cfg.
 */
export function rescaleGuidance(guided: Tensor, cond: Tensor, amount: number): Tensor {
  const size = guided.data.length / Math.max(guided.shape[0] ?? 1, 1);
  const gain = new Float32Array(guided.data.length);
  for (let start = 0; start < gain.length; start += size) {
    const [of, to] = [guided, cond].map((x) => deviation(x.data.subarray(start, start + size)));
    gain.fill(to! / of!, start, start + size);
  }
  const rescaled = tensor(
    guided.shape,
    guided.data.map((v, i) => v * gain[i]!),
  );
  return add(scale(rescaled, amount), scale(guided, 1 - amount));
}

/**
 * Classifier-free guidance on the raw prediction (eps or v, before it becomes x0, as diffusers has
 * it): a conditioned network becomes an ordinary one. Throws "bad-argument" for NaN or infinite
 * scales, a rescale outside [0, 1] and an empty range of steps.
 */
export function classifierFreeGuidance(
  network: ConditionedNetwork,
  options: GuidanceOptions,
): Network {
  const { scale: guidanceScale, rescale = 0, steps } = options;
  if (!Number.isFinite(guidanceScale)) {
    const message = `guidance scale: expected a finite number, got ${guidanceScale}.`;
    throw new TintypeError("bad-argument", message);
  }
  requireRange("guidance rescale", rescale, 0, 1);
  if (steps !== undefined && !(steps.from >= 0 && steps.to > steps.from)) {
    throw new TintypeError(
      "bad-argument",
      `guidance: expected a range of steps [from, to), got [${steps.from}, ${steps.to}).`,
    );
  }
  return async (x, level) => {
    const { step } = level;
    const outside =
      steps !== undefined && step !== undefined && (step < steps.from || step >= steps.to);
    if (guidanceScale <= 1 || outside) return network.cond(x, level);
    const { uncond, cond } = await network.both(x, level);
    const guided = guide(uncond, cond, guidanceScale);
    return rescale > 0 ? rescaleGuidance(guided, cond, rescale) : guided;
  };
}

/** [uncond, cond] stacked along the batch, each [B,...], as the two halves of one network call. */
export function splitPair(stacked: Tensor): Pair {
  const half = stacked.data.length / 2;
  const shape = [(stacked.shape[0] ?? 0) / 2, ...stacked.shape.slice(1)];
  return {
    uncond: tensor(shape, stacked.data.slice(0, half)),
    cond: tensor(shape, stacked.data.slice(half)),
  };
}
