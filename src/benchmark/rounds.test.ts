import { expect, test } from "vitest";
import { planVisits } from "./rounds.js";

test("contestants take turns, each round begins with another", () => {
  const visits = planVisits(["a", "b", "c"], [512, 768], 4);
  const order = (round: number, size: number): string =>
    visits
      .filter((v) => v.round === round && v.size === size)
      .map((v) => v.contestant)
      .join("");
  expect([0, 1, 2, 3].map((round) => order(round, 512))).toEqual(["abc", "bca", "cab", "abc"]);
  expect(order(1, 768)).toBe("bca");
  expect(visits).toHaveLength(24);
  expect(visits.map((v) => v.round)).toEqual([...visits.map((v) => v.round)].sort());
});
