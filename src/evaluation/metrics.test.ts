import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type Picture, picture } from "../image/picture.js";
import { tensor } from "../tensor/tensor.js";
import { symmetricEigen } from "./eigen.js";
import { frechetDistance, gaussianOf } from "./frechet.js";
import { psnr, ssim } from "./pictureQuality.js";

interface Golden {
  readonly quality: readonly {
    readonly width: number;
    readonly height: number;
    readonly share: number;
    readonly psnr: number;
    readonly ssim: number;
  }[];
  readonly frechet: readonly {
    readonly n: number;
    readonly counts: readonly [number, number];
    readonly a: string;
    readonly b: string;
    readonly distance: number;
    readonly singular: boolean;
  }[];
  readonly eigen: readonly {
    readonly n: number;
    readonly matrix: string;
    readonly values: readonly number[];
  }[];
}

const path = new URL("../../test/golden/evaluation/metrics.json", import.meta.url);
const golden = JSON.parse(readFileSync(path, "utf8")) as Golden;

const floats = (base64: string): Float32Array<ArrayBuffer> =>
  new Float32Array(Uint8Array.from(Buffer.from(base64, "base64")).buffer);

/** Bytes of x -> 1103515245 x + 12345 mod 2^31, bits 16 to 23, as scripts/golden/evaluation.py has them. */
function noise(width: number, height: number, seed: number): Picture {
  let x = BigInt(seed);
  const bytes = Uint8Array.from({ length: width * height * 3 }, () => {
    x = (1103515245n * x + 12345n) & 0x7fffffffn;
    return Number((x >> 16n) & 255n);
  });
  return picture(width, height, bytes);
}

describe("PSNR and SSIM", () => {
  test.each(golden.quality)("$width x $height, $share of 8 noise: as scipy has them", (wanted) => {
    const { width, height, share } = wanted;
    const [a, other] = [noise(width, height, 1), noise(width, height, 2)];
    const mixed = a.data.map((x, i) => (x * (8 - share) + other.data[i]! * share + 4) >> 3);
    const b = picture(width, height, mixed);
    expect(Math.abs(psnr(a, b) / wanted.psnr - 1)).toBeLessThan(1e-9);
    expect(Math.abs(ssim(a, b) / wanted.ssim - 1)).toBeLessThan(1e-9);
  });

  test("equal pictures", () => {
    const a = noise(12, 11, 3);
    expect(psnr(a, a)).toBe(Number.POSITIVE_INFINITY);
    expect(ssim(a, a)).toBeCloseTo(1, 12);
  });

  test("other sizes are refused", () => {
    expect(() => psnr(noise(12, 11, 3), noise(11, 12, 3))).toThrow(
      "psnr: pictures must have one size, got 12x11 and 11x12.",
    );
    expect(() => ssim(noise(12, 10, 3), noise(12, 10, 3))).toThrow("at least 11x11, got 12x10");
  });
});

describe("Frechet distance", () => {
  test.each(golden.frechet)("$n features of $counts pictures: as scipy has it", (wanted) => {
    const { n, counts, distance, singular } = wanted;
    const a = gaussianOf(tensor([counts[0], n], floats(wanted.a)));
    const b = gaussianOf(tensor([counts[1], n], floats(wanted.b)));
    const tolerance = singular ? 1e-6 : 1e-9;
    expect(Math.abs(frechetDistance(a, b) / distance - 1)).toBeLessThan(tolerance);
    expect(frechetDistance(b, a)).toBeCloseTo(frechetDistance(a, b), 5);
    expect(frechetDistance(a, a)).toBeLessThan(tolerance * distance);
  });

  test("of independent features, in closed form", () => {
    const normal = (mean: number[], variance: number[]) => ({
      mean: Float64Array.from(mean),
      covariance: Float64Array.of(variance[0]!, 0, 0, variance[1]!),
    });
    const d = frechetDistance(normal([0, 0], [1, 4]), normal([3, 4], [9, 4]));
    expect(d).toBeCloseTo(25 + (3 - 1) ** 2, 10); // |m1 - m2|^2 + sum (s1 - s2)^2
  });

  test("one picture has no spread", () => {
    expect(() => gaussianOf(tensor([1, 2], new Float32Array(2)))).toThrow("at least 2 pictures");
  });
});

test.each(golden.eigen)("eigenvalues and eigenvectors of a $n x $n matrix", (wanted) => {
  const { n } = wanted;
  const a = Float64Array.from(floats(wanted.matrix));
  const { values, vectors } = symmetricEigen(a, n);
  for (const [i, value] of values.toSorted().entries()) {
    expect(Math.abs(value - wanted.values[i]!)).toBeLessThan(1e-12 * n);
  }
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      let [product, unit] = [0, 0];
      for (let k = 0; k < n; k++) {
        product += vectors[i * n + k]! * values[k]! * vectors[j * n + k]!;
        unit += vectors[k * n + i]! * vectors[k * n + j]!;
      }
      expect(Math.abs(product - a[i * n + j]!)).toBeLessThan(1e-12 * n);
      expect(Math.abs(unit - (i === j ? 1 : 0))).toBeLessThan(1e-12 * n);
    }
  }
});
