import fc from "fast-check";
import { expect, test } from "vitest";
import { median, quantile, spread, summarize } from "./statistics.js";

test("quantiles are numpy's", () => {
  // numpy.quantile([3, 1, 7, 2, 9], [0, .25, .5, .75, 1]) and of [4, 1, 3, 2]
  expect([0, 0.25, 0.5, 0.75, 1].map((p) => quantile([3, 1, 7, 2, 9], p))).toEqual([1, 2, 3, 7, 9]);
  expect([0.25, 0.5, 0.75].map((p) => quantile([4, 1, 3, 2], p))).toEqual([1.75, 2.5, 3.25]);
  expect(median([5])).toBe(5);
});

test("a summary and its spread", () => {
  const summary = summarize([4, 1, 3, 2]);
  expect(summary).toEqual({ count: 4, median: 2.5, q1: 1.75, q3: 3.25 });
  expect(spread(summary)).toBeCloseTo(0.3);
  expect(spread(summarize([2]))).toBe(0);
  expect(spread(summarize([0, 0]))).toBe(0);
});

test("quartiles enclose the median, in any order of the measurements", () => {
  const times = fc.array(fc.double({ min: 0, max: 1e4, noNaN: true }), { minLength: 1 });
  fc.assert(
    fc.property(times, (values) => {
      const { q1, median, q3 } = summarize(values);
      expect(q1).toBeLessThanOrEqual(median);
      expect(median).toBeLessThanOrEqual(q3);
      expect(summarize(values.toReversed())).toEqual(summarize(values));
    }),
  );
});

test("nothing has no median", () => {
  expect(() => median([])).toThrow("a quantile of nothing");
});
