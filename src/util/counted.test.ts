import { expect, test } from "vitest";
import { counted } from "./counted.js";

test.each([
  [0, "0 pictures"],
  [1, "1 picture"],
  [2, "2 pictures"],
  [1.5, "1.5 pictures"],
])("%f of a thing", (count, text) => {
  expect(counted(count, "picture")).toBe(text);
});

test("words that change with the number", () => {
  const missing = (n: number): string => counted(n, "caption has", "captions have");
  expect([1, 2].map(missing)).toEqual(["1 caption has", "2 captions have"]);
});
