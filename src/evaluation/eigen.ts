import { invariant } from "../util/errors.js";

/** A symmetric matrix is vectors * diag(values) * vectors^T. */
export interface Eigen {
  readonly values: Float64Array;
  /** Column j, row-major [n,n], belongs to value j. */
  readonly vectors: Float64Array;
}

const SWEEPS = 60;

/**
 * Eigenvalues, in no order, and eigenvectors of a symmetric matrix [n,n], row-major, in float64.
 * Source: Jacobi's method by rows, Golub & Van Loan, Matrix Computations, 8.5.
 */
export function symmetricEigen(matrix: Float64Array, n: number): Eigen {
  invariant(matrix.length === n * n, `symmetricEigen: ${matrix.length} numbers for ${n}x${n}`);
  const a = matrix.slice();
  const vectors = new Float64Array(n * n);
  for (let i = 0; i < n; i++) vectors[i * n + i] = 1;
  const size = a.reduce((total, x) => total + x * x, 0);
  for (let sweep = 0; sweep < SWEEPS && offDiagonal(a, n) > 1e-30 * size; sweep++) {
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) rotate(a, vectors, n, p, q);
  }
  return { values: Float64Array.from({ length: n }, (_, i) => a[i * n + i]!), vectors };
}

/** Sum of squares off the diagonal. */
function offDiagonal(a: Float64Array, n: number): number {
  let total = 0;
  for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) total += 2 * a[i * n + j]! ** 2;
  return total;
}

/** Makes a[p][q] zero by a rotation of rows and columns p and q. */
function rotate(a: Float64Array, v: Float64Array, n: number, p: number, q: number): void {
  const apq = a[p * n + q]!;
  if (apq === 0) return;
  const tau = (a[q * n + q]! - a[p * n + p]!) / (2 * apq);
  const t = (tau >= 0 ? 1 : -1) / (Math.abs(tau) + Math.sqrt(1 + tau * tau));
  const c = 1 / Math.sqrt(1 + t * t);
  const s = t * c;
  for (let k = 0; k < n; k++) turn(a, k * n + p, k * n + q, c, s); // columns
  for (let k = 0; k < n; k++) turn(a, p * n + k, q * n + k, c, s); // rows
  for (let k = 0; k < n; k++) turn(v, k * n + p, k * n + q, c, s);
}

function turn(a: Float64Array, i: number, j: number, c: number, s: number): void {
  const [x, y] = [a[i]!, a[j]!];
  a[i] = c * x - s * y;
  a[j] = s * x + c * y;
}
