import fc from "fast-check";
import { expect, test } from "vitest";
import { solvePositive } from "./solve.js";

test("x solves A x = y for A = B B^T + 1", () => {
  const entry = fc.double({ min: -3, max: 3, noNaN: true });
  const systems = fc.integer({ min: 1, max: 8 }).chain((n) => {
    const row = fc.array(entry, { minLength: n, maxLength: n });
    return fc.record({ b: fc.array(row, { minLength: n, maxLength: n }), y: row });
  });
  fc.assert(
    fc.property(systems, ({ b, y }) => {
      const a = b.map((row, i) =>
        Float64Array.from(b, (other, j) =>
          row.reduce((sum, v, k) => sum + v * other[k]!, i === j ? 1 : 0),
        ),
      );
      const x = solvePositive(a, Float64Array.from(y));
      for (const [i, row] of a.entries()) {
        expect(row.reduce((sum, v, k) => sum + v * x[k]!, 0)).toBeCloseTo(y[i]!, 8);
      }
    }),
  );
});

test("what is asked stays as it is, and a matrix without a root is refused", () => {
  const a = [Float64Array.of(4, 2), Float64Array.of(2, 3)];
  const y = Float64Array.of(8, 7);
  expect([...solvePositive(a, y)].map((v) => Number(v.toFixed(12)))).toEqual([1.25, 1.5]);
  expect([a.map((row) => [...row]), [...y]]).toEqual([
    [
      [4, 2],
      [2, 3],
    ],
    [8, 7],
  ]);
  expect(() => solvePositive([Float64Array.of(0)], Float64Array.of(1))).toThrow(/positive/);
});
