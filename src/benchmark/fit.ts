import { invariant } from "../util/errors.js";

/** One measurement: at x it took y. */
export type Point = readonly [x: number, y: number];

/** A sum of powers, y = sum of coefficient * x^power, and how well it describes what was measured. */
export interface Fit {
  readonly terms: readonly { readonly power: number; readonly coefficient: number }[];
  /** Root mean square of the relative errors. */
  readonly error: number;
}

/**
 * The sum of powers with coefficients >= 0 whose squared relative errors are least: costs are never
 * negative, and measurements are as exact as they are large. Of each set of powers the least squares are
 * solved, and the best without a negative coefficient is taken, which is exact for the few powers there
 * are. Measurements are positive. Source: Lawson and Hanson 1974, chapter 23 (the problem NNLS).
 */
export function fitPowers(points: readonly Point[], powers: readonly number[]): Fit {
  invariant(points.length > 0 && powers.length > 0, "a fit needs points and powers");
  invariant(
    points.every(([x, y]) => x >= 0 && y > 0),
    "a fit needs positive measurements",
  );
  const sets = Array.from({ length: 2 ** powers.length - 1 }, (_, set) =>
    powers.filter((_, i) => ((set + 1) >> i) % 2 === 1),
  ).sort((a, b) => a.length - b.length);
  let best: Fit | undefined;
  for (const chosen of sets) {
    const fit = chosen.length <= points.length ? leastSquares(points, chosen) : undefined;
    const isFit = fit?.terms.every(({ coefficient }) => coefficient >= 0);
    // Another power must be worth it.
    if (isFit && (best === undefined || fit!.error < best.error - 1e-9)) best = fit;
  }
  invariant(best !== undefined, "no sum of powers fits");
  const found = new Map(best.terms.map(({ power, coefficient }) => [power, coefficient]));
  const terms = powers.map((power) => ({ power, coefficient: found.get(power) ?? 0 }));
  return { terms, error: best.error };
}

/** What a fit says of x. */
export function valueAt({ terms }: Pick<Fit, "terms">, x: number): number {
  return terms.reduce((sum, { power, coefficient }) => sum + coefficient * x ** power, 0);
}

/** Least squares of relative errors, by the normal equations in x / max(x); undefined if singular. */
function leastSquares(points: readonly Point[], powers: readonly number[]): Fit | undefined {
  const scale = Math.max(...points.map(([x]) => x)) || 1;
  const rows = points.map(([x, y]) => powers.map((power) => (x / scale) ** power / y));
  const matrix = powers.map((_, i) =>
    powers.map((_, j) => rows.reduce((sum, row) => sum + row[i]! * row[j]!, 0)),
  );
  const right = powers.map((_, i) => rows.reduce((sum, row) => sum + row[i]!, 0));
  const solution = solve(matrix, right);
  if (solution === undefined) return undefined;
  const terms = powers.map((power, i) => ({ power, coefficient: solution[i]! / scale ** power }));
  const squares = points.map(([x, y]) => (valueAt({ terms }, x) / y - 1) ** 2);
  return { terms, error: Math.sqrt(squares.reduce((a, b) => a + b, 0) / points.length) };
}

/** Gaussian elimination with pivots; undefined for a singular matrix. */
function solve(matrix: readonly (readonly number[])[], right: readonly number[]) {
  const rows = matrix.map((row, i) => [...row, right[i]!]);
  const n = rows.length;
  const largest = Math.max(...matrix.flat().map(Math.abs));
  for (let c = 0; c < n; c++) {
    const pivot = rows.slice(c).reduce((a, b) => (Math.abs(b[c]!) > Math.abs(a[c]!) ? b : a));
    if (Math.abs(pivot[c]!) <= 1e-12 * largest) return undefined;
    rows.splice(rows.indexOf(pivot), 1);
    rows.splice(c, 0, pivot);
    for (const row of rows.slice(c + 1)) {
      const factor = row[c]! / pivot[c]!;
      for (let k = c; k <= n; k++) row[k]! -= factor * pivot[k]!;
    }
  }
  const solution: number[] = [];
  for (let r = n - 1; r >= 0; r--) {
    const known = solution.reduce((sum, x, i) => sum + rows[r]![r + 1 + i]! * x, 0);
    solution.unshift((rows[r]![n]! - known) / rows[r]![r]!);
  }
  return solution;
}
