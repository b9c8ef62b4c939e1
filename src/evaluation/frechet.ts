import type { Tensor } from "../tensor/tensor.js";
import { check } from "../util/errors.js";
import { symmetricEigen } from "./eigen.js";

/** A normal distribution of n features, in float64. */
export interface Gaussian {
  readonly mean: Float64Array;
  /** [n,n], row-major. */
  readonly covariance: Float64Array;
}

/**
 * Mean and unbiased covariance of features [pictures, n]. Throws "bad-argument" for fewer than two
 * pictures.
 */
export function gaussianOf({ shape, data }: Tensor): Gaussian {
  const [count, n] = shape as [number, number];
  check(
    count >= 2,
    "bad-argument",
    `Frechet distance: expected at least 2 pictures, got ${count}.`,
  );
  const mean = new Float64Array(n);
  for (let i = 0; i < data.length; i++) mean[i % n]! += data[i]! / count;
  const covariance = new Float64Array(n * n);
  for (let row = 0; row < count; row++) {
    for (let i = 0; i < n; i++) {
      const centred = (data[row * n + i]! - mean[i]!) / (count - 1);
      for (let j = 0; j < n; j++) {
        covariance[i * n + j]! += centred * (data[row * n + j]! - mean[j]!);
      }
    }
  }
  return { mean, covariance };
}

/**
 * Squared distance of two normal distributions, at least 0:
 * |m1 - m2|^2 + tr(S1 + S2 - 2 (S1^1/2 S2 S1^1/2)^1/2).
 * Source: Dowson & Landau 1982; Heusel et al. 2017, equation 6, with other features.
 */
export function frechetDistance(a: Gaussian, b: Gaussian): number {
  const n = a.mean.length;
  let distance = 0;
  for (let i = 0; i < n; i++) {
    distance += (a.mean[i]! - b.mean[i]!) ** 2;
    distance += a.covariance[i * n + i]! + b.covariance[i * n + i]!;
  }
  const root = squareRoot(a.covariance, n);
  const product = multiply(multiply(root, b.covariance, n), root, n);
  for (const value of symmetricEigen(product, n).values) {
    distance -= 2 * Math.sqrt(Math.max(0, value)); // rounding may leave a zero below zero
  }
  return Math.max(0, distance);
}

/** The square root of a symmetric matrix without negative eigenvalues. */
function squareRoot(matrix: Float64Array, n: number): Float64Array {
  const { values, vectors } = symmetricEigen(matrix, n);
  const scaled = vectors.map((v, i) => v * Math.sqrt(Math.max(0, values[i % n]!)));
  return multiply(scaled, transposed(vectors, n), n);
}

function transposed(a: Float64Array, n: number): Float64Array {
  return a.map((_, i) => a[(i % n) * n + Math.floor(i / n)]!);
}

function multiply(a: Float64Array, b: Float64Array, n: number): Float64Array {
  const out = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < n; k++) {
      const x = a[i * n + k]!;
      for (let j = 0; j < n; j++) out[i * n + j]! += x * b[k * n + j]!;
    }
  }
  return out;
}
