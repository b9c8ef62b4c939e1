import fc from "fast-check";
import { expect, test } from "vitest";
import { fitPowers, type Point, valueAt } from "./fit.js";

const SIDES = [256, 384, 512, 768, 1024, 1536, 2048];
const measured = (law: (x: number) => number): Point[] =>
  SIDES.map((side): Point => [side * side, law(side * side)]);

test("a law is found again", () => {
  const fit = fitPowers(
    measured((x) => 0.2 + 3e-6 * x + 5e-12 * x * x),
    [0, 1, 2],
  );
  const [a, b, c] = fit.terms.map((t) => t.coefficient);
  expect(a).toBeCloseTo(0.2, 6);
  expect(b! / 3e-6).toBeCloseTo(1, 6);
  expect(c! / 5e-12).toBeCloseTo(1, 6);
  expect(fit.error).toBeLessThan(1e-9);
  expect(valueAt(fit, 1e6)).toBeCloseTo(0.2 + 3 + 5, 6);
});

test("a coefficient that would be negative is zero, and the rest are the best without it", () => {
  const fit = fitPowers(
    measured((x) => 3e-6 * x - 0.1),
    [0, 1, 2],
  );
  expect(fit.terms.map((t) => t.power)).toEqual([0, 1, 2]);
  expect(fit.terms[0]!.coefficient).toBe(0);
  expect(Math.min(...fit.terms.map((t) => t.coefficient))).toBeGreaterThanOrEqual(0);
  expect(fit.error).toBeGreaterThan(0.01);
});

test("least squares are of relative errors: against numpy.linalg.lstsq of rows divided by y", () => {
  // numpy.linalg.lstsq([[1/2, 1/2], [1/3, 2/3], [1/7, 4/7]], [1, 1, 1])[0]
  const { terms, error } = fitPowers(
    [
      [1, 2],
      [2, 3],
      [4, 7],
    ],
    [0, 1],
  );
  expect(terms[0]!.coefficient).toBeCloseTo(0.4109589, 7);
  expect(terms[1]!.coefficient).toBeCloseTo(1.47945205, 7);
  expect(error).toBeGreaterThan(0.02);
});

test("fewer points than powers take fewer powers", () => {
  const fit = fitPowers([[4, 8]], [0, 1, 2]);
  expect(valueAt(fit, 4)).toBeCloseTo(8);
  expect(fit.error).toBeCloseTo(0);
});

test("no fit is worse than a constant or a line", () => {
  const point = fc.tuple(
    fc.integer({ min: 1, max: 1000 }),
    fc.double({ min: 0.01, max: 100, noNaN: true }),
  );
  fc.assert(
    fc.property(fc.array(point, { minLength: 1, maxLength: 12 }), (points) => {
      const whole = fitPowers(points, [0, 1, 2]).error;
      for (const power of [0, 1, 2]) {
        expect(whole).toBeLessThanOrEqual(fitPowers(points, [power]).error + 1e-9);
      }
    }),
  );
});
