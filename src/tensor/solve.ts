import { invariant } from "../util/errors.js";

/**
 * The x of A x = y for a symmetric positive definite A [n,n], row by row, by Cholesky's factors.
 * Neither is changed.
 */
export function solvePositive(a: readonly Float64Array[], y: Float64Array): Float64Array {
  const n = y.length;
  const lower = a.map((row) => Float64Array.from(row));
  const x = Float64Array.from(y);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let rest = lower[i]![j]!;
      for (let k = 0; k < j; k++) rest -= lower[i]![k]! * lower[j]![k]!;
      invariant(i !== j || rest > 0, "solvePositive: the matrix is not positive definite");
      lower[i]![j] = i === j ? Math.sqrt(rest) : rest / lower[j]![j]!;
    }
    for (let k = 0; k < i; k++) x[i]! -= lower[i]![k]! * x[k]!;
    x[i]! /= lower[i]![i]!;
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i]! -= lower[k]![i]! * x[k]!;
    x[i]! /= lower[i]![i]!;
  }
  return x;
}
