import { expect, test } from "vitest";
import { planRounds } from "./rounds.js";

test("contestants take turns, each round begins with another", () => {
  const rounds = planRounds(["a", "b", "c"], [512, 768], 4);
  const orders = rounds.map((visits) => visits.map((v) => v.contestant).join(""));
  expect(orders).toEqual(["abcabc", "bcabca", "cabcab", "abcabc"]);
  expect(rounds[1]!.map((v) => v.size)).toEqual([512, 512, 512, 768, 768, 768]);
});

test("nobody takes no turns", () => {
  expect(planRounds([], [512], 2)).toEqual([[], []]);
});
