import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import type { VaeConfig } from "../../models/vae/config.js";
import { vaeDecoder, vaeEncoder } from "../../models/vae/model.js";
import type { Params } from "../../nn/params.js";
import { klDivergence, mean, posterior, reparameterize, square } from "../losses.js";
import type { PerceptualDistance } from "./perceptual.js";

/** How a reconstruction is measured against its picture. */
export interface ReconstructionLoss {
  /** Distance of pixels. */
  readonly pixel: "l1" | "l2";
  /** Weight of the Kullback-Leibler term; undefined is an autoencoder without one: latents are means. */
  readonly kl: number | undefined;
  readonly perceptual?: PerceptualDistance | undefined;
  /**
   * "mean" counts per pixel value, "sum" over a picture as the published trainer does: the same
   * loss times 3 H W, so the weights of the terms mean the same in both.
   */
  readonly reduction: "mean" | "sum";
}

/** What a step of an autoencoder computes; all but `reconstruction` are scalars. */
export interface AutoencoderTerms {
  /** [B,3,H,W] */
  readonly reconstruction: Value;
  /** Pixel and perceptual terms: what the adversarial term is balanced against. */
  readonly nll: Value;
  /** The weighted divergence. */
  readonly rest: Value | undefined;
  /** Both. */
  readonly loss: Value;
  readonly metrics: Readonly<Record<string, Value>>;
}

/**
 * Encodes, draws, decodes and measures. images [B,3,H,W] in [-1,1], noise [B,C,h,w] standard
 * normal, unused without a divergence. p is at the root. Source: Rombach et al. 2022, appendix G;
 * CompVis/latent-diffusion, LPIPSWithDiscriminator.
 */
export function autoencoderLoss(
  p: Params,
  config: VaeConfig,
  { images, noise }: { readonly images: Value; readonly noise: Value },
  options: ReconstructionLoss,
): AutoencoderTerms {
  const gaussian = posterior(vaeEncoder(p, config, images));
  const drawn = options.kl === undefined ? gaussian.mean : reparameterize(gaussian, noise);
  const reconstruction = vaeDecoder(p, config, drawn);
  const { pixel, perceptual } = options;
  const difference = op.sub(images, reconstruction);
  const [l1, mse] = [mean(op.abs(difference)), mean(square(difference))];
  const values = (images.shape.slice(1) as number[]).reduce((n, d) => n * d, 1);
  const scale = options.reduction === "sum" ? values : 1;

  let nll = pixel === "l1" ? l1 : mse;
  const metrics: Record<string, Value> = { l1, mse };
  if (perceptual) {
    metrics.perceptual = perceptual.distance(p, images, reconstruction);
    nll = op.add(nll, op.mul(metrics.perceptual, perceptual.weight));
  }
  nll = op.mul(nll, scale);
  if (options.kl === undefined) return { reconstruction, nll, rest: undefined, loss: nll, metrics };
  metrics.kl = klDivergence(gaussian);
  const rest = op.mul(metrics.kl, (options.kl * scale) / values);
  return { reconstruction, nll, rest, loss: op.add(nll, rest), metrics };
}
