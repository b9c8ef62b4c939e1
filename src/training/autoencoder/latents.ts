import type { VaeConfig } from "../../models/vae/config.js";
import type { Program } from "../../runtime/engine.js";
import type { Tensor } from "../../tensor/tensor.js";

/**
 * 1 / std of latents drawn from the posteriors of pictures [B,3,H,W]: what latents are multiplied by
 * so that their variance is 1. Source: Rombach et al. 2022, appendix G, "rescaled". `encoder` is the
 * program image -> moments.
 */
export async function latentScale(
  encoder: Program,
  { latentChannels }: VaeConfig,
  batches: AsyncIterable<Tensor>,
): Promise<number> {
  let [count, first, second] = [0, 0, 0];
  for await (const image of batches) {
    const { shape, data } = (await encoder.run({ image })).moments!;
    const area = shape[2]! * shape[3]!;
    for (let b = 0; b < shape[0]!; b++) {
      const at = 2 * b * latentChannels * area;
      for (let i = at; i < at + latentChannels * area; i++) {
        const [mean, logvar] = [data[i]!, data[i + latentChannels * area]!];
        count++;
        first += mean;
        second += mean * mean + Math.exp(Math.min(Math.max(logvar, -30), 20));
      }
    }
  }
  const mean = first / count;
  return 1 / Math.sqrt(second / count - mean * mean);
}
