import { expect, it } from "vitest";
import { integers, normal, permutation, randomFor } from "./random.js";

it("draws follow from seed, purpose and step, and differ between them", () => {
  const draw = (seed: number, purpose: string, step: number): string =>
    [...randomFor(seed, purpose, step).rand(4)].join();
  expect(draw(1, "noise", 2)).toBe(draw(1, "noise", 2));
  const all = [draw(1, "noise", 2), draw(2, "noise", 2), draw(1, "time", 2), draw(1, "noise", 3)];
  expect(new Set(all).size).toBe(4);
});

it("normal numbers have mean 0 and variance 1", () => {
  const { data } = normal(randomFor(7, "noise", 0), [100, 100]);
  const mean = data.reduce((a, b) => a + b) / data.length;
  const square = data.reduce((a, b) => a + b * b, 0) / data.length;
  expect(Math.abs(mean)).toBeLessThan(0.04);
  expect(Math.abs(square - 1)).toBeLessThan(0.06);
});

it("integers are in their range, each as often", () => {
  const drawn = integers(randomFor(3, "t"), 60_000, 6);
  const counts = [0, 1, 2, 3, 4, 5].map((k) => drawn.filter((x) => x === k).length);
  expect(counts.reduce((a, b) => a + b)).toBe(60_000);
  for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(400);
});

it("a permutation has every number once, and every order is as likely", () => {
  const order = permutation(randomFor(0, "order", 5), 1000);
  expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
  const seen = new Map<string, number>();
  for (let step = 0; step < 6000; step++) {
    const key = permutation(randomFor(0, "order", step), 3).join("");
    seen.set(key, (seen.get(key) ?? 0) + 1);
  }
  expect(seen.size).toBe(6);
  for (const count of seen.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  expect([...permutation(randomFor(0, "order"), 0)]).toEqual([]);
});
