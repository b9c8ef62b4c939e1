import { add, divide, map, scale, sub } from "../tensor/elementwise.js";
import { type Tensor, tensor } from "../tensor/tensor.js";
import type { Denoiser, Level } from "./types.js";

const f = Math.fround;

/**
 * What a network was trained to output: the noise, the velocity v = alpha eps - sigma x0 (Salimans
 * and Ho 2022), or the clean latents. Names as in diffusers' configs.
 */
export type PredictionType = "epsilon" | "v_prediction" | "sample";

/** The raw network: (x of variance 1, level) -> prediction, same shape. It is told `level.t`. */
export type Network = (x: Tensor, level: Level) => Promise<Tensor>;

/** Sigma space: x is x0 + sigma eps, so the network, which sees variance 1, needs it scaled. */
function inSigmaSpace(level: Level): boolean {
  return level.alpha === 1 && level.sigma > 0;
}

function norm(level: Level): number {
  return f(f(level.sigma * level.sigma) + 1);
}

/** x as the network wants it: variance 1. Source: Karras et al. 2022, table 1, c_in. */
export function networkInput(x: Tensor, level: Level): Tensor {
  return inSigmaSpace(level) ? divide(x, Math.sqrt(norm(level))) : x;
}

/** The estimate of x0 that a prediction at `level` means. x in the scale of the level. */
export function cleanFrom(
  prediction: Tensor,
  x: Tensor,
  level: Level,
  type: PredictionType,
): Tensor {
  const { alpha, sigma } = level;
  if (type === "sample") return prediction;
  if (!inSigmaSpace(level)) {
    return type === "epsilon"
      ? divide(sub(x, scale(prediction, sigma)), alpha)
      : sub(scale(x, alpha), scale(prediction, sigma));
  }
  if (type === "epsilon") return sub(x, scale(prediction, sigma));
  const gain = f(-sigma / f(Math.sqrt(norm(level))));
  return add(scale(prediction, gain), divide(x, norm(level)));
}

/** The noise that x holds if its clean part is `x0`: (x - alpha x0) / sigma. */
export function noiseFrom(x0: Tensor, x: Tensor, level: Level): Tensor {
  const kept = level.alpha === 1 ? x0 : scale(x0, level.alpha);
  return divide(sub(x, kept), level.sigma);
}

/** v = alpha eps - sigma x0, the target of a v-prediction network. Source: Salimans and Ho 2022. */
export function velocity(x0: Tensor, eps: Tensor, level: Level): Tensor {
  return sub(scale(eps, level.alpha), scale(x0, level.sigma));
}

/** What the network said, recovered from the estimate of x0 at a variance preserving level. */
export function predictionFrom(x0: Tensor, x: Tensor, level: Level, type: PredictionType): Tensor {
  if (type === "sample") return x0;
  if (type === "epsilon") return noiseFrom(x0, x, level);
  return divide(sub(scale(x, level.alpha), x0), level.sigma);
}

/** A raw network as a denoiser: the one place where prediction types are told apart. */
export function denoiserFrom(network: Network, type: PredictionType): Denoiser {
  return async (x, level) =>
    cleanFrom(await network(networkInput(x, level), level), x, level, type);
}

/** x0 cut to [-range, range]. */
export function clip(x0: Tensor, range: number): Tensor {
  const limit = f(range);
  return map(x0, (v) => Math.min(Math.max(v, -limit), limit));
}

/** The q-quantile of values >= 0, linear between neighbours, as torch.quantile has it. */
function quantile(values: Float32Array, q: number): number {
  const sorted = values.slice().sort();
  const rank = f(f(q) * (sorted.length - 1));
  const low = Math.floor(rank);
  const [a, b] = [sorted[low]!, sorted[Math.ceil(rank)]!];
  return f(a + f(f(rank - low) * f(b - a)));
}

/**
 * Dynamic thresholding: each picture is cut at the `ratio` quantile of its absolute values, at least
 * 1 and at most `max`, and divided by it. x0 [B,...]. Source: Saharia et al. 2022 (Imagen), sec. 2.3.
 */
export function dynamicThreshold(x0: Tensor, ratio: number, max: number): Tensor {
  const out = new Float32Array(x0.data.length);
  const size = x0.data.length / Math.max(x0.shape[0] ?? 1, 1);
  for (let start = 0; start < out.length; start += size) {
    const picture = x0.data.subarray(start, start + size);
    const s = Math.min(Math.max(quantile(picture.map(Math.abs), ratio), 1), f(max));
    out.set(
      picture.map((v) => Math.min(Math.max(v, -s), s) / s),
      start,
    );
  }
  return tensor(x0.shape, out);
}
