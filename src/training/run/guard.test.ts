import { expect, test } from "vitest";
import { lossGuard } from "./guard.js";

const usual = Array.from({ length: 50 }, (_, i) => 0.5 + 0.1 * Math.sin(i));

test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
  "%d is a problem, whatever came before",
  (loss) => {
    expect(lossGuard(0, []).problem({ loss })).toBe(`loss is ${loss}`);
    expect(lossGuard(100, usual).problem({ loss: 0.5, kl: loss })).toBe(`kl is ${loss}`);
  },
);

test("a loss explodes beyond so many times the median", () => {
  expect(lossGuard(10, usual).problem({ loss: 5.5 })).toBe(
    "loss is 5.500, more than 10 times what it usually was (0.5009)",
  );
  expect(lossGuard(10, usual).problem({ loss: 4.5 })).toBeUndefined();
  expect(lossGuard(0, usual).problem({ loss: 1e30 })).toBeUndefined();
});

test("the first losses may be anything, and all that is old is forgotten", () => {
  const guard = lossGuard(10, []);
  for (let i = 0; i < 20; i++) expect(guard.problem({ loss: 10 ** (i % 7) })).toBeUndefined();
  for (let i = 0; i < 100; i++) expect(guard.problem({ loss: 1 })).toBeUndefined();
  expect(guard.problem({ loss: 11 })).toBeDefined();
});

test("the losses of a GAN, which pass through zero, do not explode", () => {
  const guard = lossGuard(10, []);
  for (let i = 0; i < 300; i++) expect(guard.problem({ loss: Math.sin(i / 9) })).toBeUndefined();
});
