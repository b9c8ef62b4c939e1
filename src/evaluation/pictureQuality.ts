import type { Picture } from "../image/picture.js";
import { check } from "../util/errors.js";

/*
 * How near a picture is to another, on 8-bit values.
 */

function requireSameSize(what: string, a: Picture, b: Picture): void {
  check(
    a.width === b.width && a.height === b.height,
    "bad-argument",
    `${what}: pictures must have one size, got ${a.width}x${a.height} and ${b.width}x${b.height}.`,
  );
}

/** Peak signal-to-noise ratio over all pixels and channels, in dB; infinite for equal pictures. */
export function psnr(a: Picture, b: Picture): number {
  requireSameSize("psnr", a, b);
  let total = 0;
  for (let i = 0; i < a.data.length; i++) total += (a.data[i]! - b.data[i]!) ** 2;
  return 10 * Math.log10((255 ** 2 * a.data.length) / total);
}

const RADIUS = 5;
const SIGMA = 1.5;
const C1 = (0.01 * 255) ** 2;
const C2 = (0.03 * 255) ** 2;

/**
 * Structural similarity, in [-1, 1], 1 for equal pictures: the mean over channels and over every
 * 11x11 Gaussian window (sigma 1.5) that lies inside. Pictures are at least 11x11. Source: Wang et
 * al. 2004, equation 13; scikit-image's structural_similarity with gaussian_weights.
 */
export function ssim(a: Picture, b: Picture): number {
  requireSameSize("ssim", a, b);
  const { width, height, channels } = a;
  const window = 2 * RADIUS + 1;
  check(
    width >= window && height >= window,
    "bad-argument",
    `ssim: expected pictures of at least ${window}x${window}, got ${width}x${height}.`,
  );
  const blur = (at: (i: number) => number): Float64Array => gaussian(width, height, at);
  let total = 0;
  for (let c = 0; c < channels; c++) {
    const x = (i: number): number => a.data[i * channels + c]!;
    const y = (i: number): number => b.data[i * channels + c]!;
    const [mx, my] = [blur(x), blur(y)];
    const [xx, yy, xy] = [blur((i) => x(i) ** 2), blur((i) => y(i) ** 2), blur((i) => x(i) * y(i))];
    for (let i = 0; i < mx.length; i++) {
      const [mean, square] = [mx[i]! * my[i]!, mx[i]! ** 2 + my[i]! ** 2];
      const covariance = xy[i]! - mean;
      const variances = xx[i]! + yy[i]! - square;
      const scale = (square + C1) * (variances + C2) * mx.length * channels;
      total += ((2 * mean + C1) * (2 * covariance + C2)) / scale;
    }
  }
  return total;
}

/** Weighted means of every window that lies inside, row by row. */
function gaussian(width: number, height: number, at: (i: number) => number): Float64Array {
  const taps = Array.from({ length: 2 * RADIUS + 1 }, (_, i) =>
    Math.exp(-((i - RADIUS) ** 2) / (2 * SIGMA ** 2)),
  );
  const sum = taps.reduce((n, t) => n + t, 0);
  const [w, h] = [width - 2 * RADIUS, height - 2 * RADIUS];
  const rows = new Float64Array(w * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < w; x++) {
      let mean = 0;
      for (const [k, tap] of taps.entries()) mean += (tap / sum) * at(y * width + x + k);
      rows[y * w + x] = mean;
    }
  }
  const out = new Float64Array(w * h);
  for (const [k, tap] of taps.entries()) {
    for (let i = 0; i < out.length; i++) out[i]! += (tap / sum) * rows[i + k * w]!;
  }
  return out;
}
