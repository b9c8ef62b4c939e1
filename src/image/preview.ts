import type { Tensor } from "../tensor/tensor.js";
import { invariant } from "../util/errors.js";
import { type Picture, picture } from "./picture.js";

/** What one unit of each latent channel adds to red, green and blue. */
export type LatentColors = readonly (readonly [r: number, g: number, b: number])[];

/**
 * Red, green and blue of each latent channel of the SD 1.x and 2.x autoencoder, for latents as the
 * UNet sees them (scaled by 0.18215); grey is 0. A linear fit: Comfy-Org/ComfyUI,
 * comfy/latent_formats.py, SD15.
 */
export const SD_LATENT_RGB: LatentColors = [
  [0.3512, 0.2297, 0.3227],
  [0.325, 0.4974, 0.235],
  [-0.2829, 0.1762, 0.2721],
  [-0.212, -0.2616, -0.7177],
];

/** Cheap previews of latents [B,C,h,w], one pixel a latent, without the decoder. */
export function latentsToRgb(
  { shape, data }: Tensor,
  factors: LatentColors = SD_LATENT_RGB,
): Picture[] {
  const [batch, channels, height, width] = shape;
  invariant(
    shape.length === 4 && channels === factors.length,
    `latentsToRgb: expected [B,${factors.length},h,w], got [${shape}]`,
  );
  const area = height! * width!;
  return Array.from({ length: batch! }, (_, b) => {
    const pixels = new Uint8ClampedArray(area * 3);
    for (let i = 0; i < pixels.length; i++) {
      const [pixel, color] = [Math.trunc(i / 3), i % 3];
      let sum = 0;
      for (const [c, row] of factors.entries()) {
        sum += row[color]! * data[(b * channels! + c) * area + pixel]!;
      }
      pixels[i] = ((sum + 1) / 2) * 255;
    }
    return picture(width!, height!, new Uint8Array(pixels.buffer));
  });
}
