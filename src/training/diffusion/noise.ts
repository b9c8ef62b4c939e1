import { type Tensor, tensor } from "../../tensor/tensor.js";

/**
 * Noise [B,C,h,w] with `strength` times one number for each channel [B,C,1,1] added to all of it, so
 * that a network learns to change how bright a whole picture is. Source: Guttenberg 2023, "Diffusion
 * with Offset Noise".
 */
export function withOffset(noise: Tensor, offsets: Tensor, strength: number): Tensor {
  const area = noise.data.length / offsets.data.length;
  const data = noise.data.map((x, i) => x + strength * offsets.data[Math.floor(i / area)]!);
  return tensor(noise.shape, data);
}
