import type { Level, PredictionType } from "../../diffusion/index.js";
import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import type { UNetConfig } from "../../models/unet/config.js";
import { unet } from "../../models/unet/model.js";
import type { Params } from "../../nn/params.js";
import { countOf, mean, perExample, square } from "../losses.js";

/** What the loss of one batch is made from. */
export interface DiffusionInputs {
  /** Clean latents [B,C,h,w], as the UNet sees them. */
  readonly latents: Value;
  /** Noise of the same shape. */
  readonly noise: Value;
  /** Timesteps [B], and the shares of picture and noise at each [B]. */
  readonly t: Value;
  readonly alpha: Value;
  readonly sigma: Value;
  /** How much each example counts [B]. */
  readonly weight: Value;
  /** Hidden states of the captions [B,N,D]. */
  readonly context: Value;
}

/** `loss` is weighted, `mse` is not; scalars. */
export interface DiffusionTerms {
  readonly loss: Value;
  readonly mse: Value;
}

/**
 * The error of what the network makes of noisy latents x = alpha z + sigma eps: of the noise, of
 * v = alpha eps - sigma z, or of z. Source: Ho et al. 2020, eq. 14; Salimans & Ho 2022.
 */
export function diffusionLoss(
  p: Params,
  config: UNetConfig,
  inputs: DiffusionInputs,
  prediction: PredictionType,
): DiffusionTerms {
  const { latents, noise, t, weight, context } = inputs;
  const [alpha, sigma] = [perExample(inputs.alpha, latents), perExample(inputs.sigma, latents)];
  const x = op.add(op.mul(alpha, latents), op.mul(sigma, noise));
  const output = unet(p, config, { x, t, context });
  const target = {
    epsilon: () => noise,
    v_prediction: () => op.sub(op.mul(alpha, noise), op.mul(sigma, latents)),
    sample: () => latents,
  }[prediction]();
  const [batch] = latents.shape as readonly [number];
  const errors = op.reshape(op.sum(square(op.sub(output, target)), [1, 2, 3]), [batch]);
  const each = op.mul(errors, batch / countOf(latents));
  return { loss: mean(op.mul(each, weight)), mse: mean(each) };
}

/**
 * Min-SNR-gamma: the weight at which an error of x0 counts min(snr, gamma) times, whatever the
 * network predicts. Source: Hang et al. 2023, eqs. 6 to 9.
 */
export function minSnrWeight(
  { alpha, sigma }: Pick<Level, "alpha" | "sigma">,
  prediction: PredictionType,
  gamma: number,
): number {
  const snr = (alpha / sigma) ** 2;
  const least = Math.min(snr, gamma);
  if (prediction === "sample") return least;
  if (prediction === "v_prediction") return least / (snr + 1);
  return snr === 0 ? 1 : least / snr;
}
