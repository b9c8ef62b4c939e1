import { add, concatBatch, map, mul, scale } from "../tensor/elementwise.js";
import type { NoiseSource } from "../tensor/random.js";
import { type Tensor, tensor } from "../tensor/tensor.js";

/**
 * One draw from the autoencoder's posterior for each source of noise, scaled as the UNet sees
 * latents. moments [1,2C,h,w] are those of one image, shared by the batch, or [B,2C,h,w]; each
 * draws [1,C,h,w]. Source: Kingma & Welling 2014, eq. 10; diffusers DiagonalGaussianDistribution.
 */
export function samplePosterior(
  moments: Tensor,
  sources: readonly NoiseSource[],
  scalingFactor: number,
): Tensor {
  const [batch, channels, h, w] = moments.shape as [number, number, number, number];
  const shape = [1, channels / 2, h, w];
  const size = (channels / 2) * h * w;
  const draws = sources.map((source, k) => {
    const at = (batch === 1 ? 0 : k) * 2 * size;
    const mean = tensor(shape, moments.data.slice(at, at + size));
    const logvar = tensor(shape, moments.data.slice(at + size, at + 2 * size));
    const std = map(logvar, (v) => Math.exp(0.5 * Math.min(Math.max(v, -30), 20)));
    return add(mean, mul(std, source.randn(shape)));
  });
  return scale(concatBatch(draws), scalingFactor);
}

/** The means of an encoder's moments: the first half of the channels, [B,2C,h,w] -> [B,C,h,w]. */
export function posteriorMean({ shape, data }: Tensor): Tensor {
  const [b, c, h, w] = shape as [number, number, number, number];
  const half = (c / 2) * h * w;
  const out = new Float32Array(b * half);
  for (let i = 0; i < b; i++) out.set(data.subarray(2 * i * half, (2 * i + 1) * half), i * half);
  return tensor([b, c / 2, h, w], out);
}
