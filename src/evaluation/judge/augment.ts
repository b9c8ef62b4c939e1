import { type Picture, picture } from "../../image/picture.js";
import { randomFor } from "../../training/random.js";

/** Share of the pictures that are blurred, and that are noisy. */
const BLURRED = 0.4;
const NOISY = 0.5;

/**
 * A picture as it might come from an autoencoder: a little blurred, noisy, brighter or darker, tinted.
 * All of it follows from `seed`.
 */
export function augmented(original: Picture, seed: number): Picture {
  const { width, height } = original;
  const random = randomFor(seed, "judge/augment");
  const [blurs, sigma, noises, level, gain, shift, ...tints] = random.rand(
    9,
  ) as unknown as number[];
  const soft = blurs! < BLURRED ? blurred(original, 0.4 + 0.8 * sigma!) : original.data;
  const noise = noises! < NOISY ? random.randn(soft.length) : undefined;
  const out = new Uint8Array(soft.length);
  for (let i = 0; i < out.length; i++) {
    const tint = 8 * (tints[i % 3]! - 0.5) + 16 * (shift! - 0.5);
    const lit = (soft[i]! - 128) * (0.92 + 0.16 * gain!) + 128 + tint;
    out[i] = Math.min(255, Math.max(0, Math.round(lit + (noise?.[i] ?? 0) * 8 * level!)));
  }
  return picture(width, height, out);
}

/** Binomial-like smoothing of 3x3 with the spread of a Gaussian of `sigma` pixels, at most 1.2. */
function blurred({ width, height, data }: Picture, sigma: number): Float32Array {
  const side = Math.exp(-1 / (2 * sigma * sigma));
  const [outer, inner] = [side / (1 + 2 * side), 1 / (1 + 2 * side)];
  const rows = new Float32Array(data.length);
  const row = 3 * width;
  for (let i = 0; i < data.length; i++) {
    const at = i % row;
    const left = data[at < 3 ? i : i - 3]!;
    const right = data[at >= row - 3 ? i : i + 3]!;
    rows[i] = inner * data[i]! + outer * (left + right);
  }
  const out = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const above = rows[i < row ? i : i - row]!;
    const below = rows[i >= row * (height - 1) ? i : i + row]!;
    out[i] = inner * rows[i]! + outer * (above + below);
  }
  return out;
}
