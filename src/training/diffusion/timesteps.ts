import type { TorchGenerator } from "../../tensor/mt19937.js";
import { integers } from "../random.js";

/**
 * `count` timesteps in [0, below): each as likely, or by `logitNormal` as the share 1 / (1 + exp(-x))
 * of them, x ~ N(mean, std^2). Source: Esser et al. 2024, equation 19.
 */
export function drawTimesteps(
  random: TorchGenerator,
  count: number,
  below: number,
  logitNormal: { readonly mean: number; readonly std: number } | null,
): Int32Array {
  if (logitNormal === null) return integers(random, count, below);
  const { mean, std } = logitNormal;
  const shares = Array.from(random.randn(count), (x) => 1 / (1 + Math.exp(-(mean + std * x))));
  return Int32Array.from(shares, (share) => Math.min(below - 1, Math.floor(share * below)));
}
