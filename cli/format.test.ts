import { expect, test } from "vitest";
import { formatCount, formatDuration, formatPace, snakeCase, table } from "./format.js";

test.each([
  [0, "0.0 s"],
  [840, "0.8 s"],
  [9949, "9.9 s"],
  [9960, "10 s"],
  [89_400, "89 s"],
  [90_000, "1:30 min"],
  [187_000, "3:07 min"],
  [3_599_000, "59:59 min"],
  [3_600_000, "1:00 h"],
  [7_500_000, "2:05 h"],
])("%d ms is %s", (ms, text) => expect(formatDuration(ms)).toBe(text));

test.each([
  [4, "0.004 s/it"],
  [1520, "1.52 s/it"],
  [15_200, "15.2 s/it"],
  [152_000, "152 s/it"],
])("%d ms a step is %s", (ms, text) => expect(formatPace(ms)).toBe(text));

test.each([
  [814, "814"],
  [56_440, "56.4 thousand"],
  [859_520_964, "859.5 million"],
  [2_567_463_684, "2.57 billion"],
])("%d is %s", (count, text) => expect(formatCount(count)).toBe(text));

test("columns stand under each other", () => {
  expect(
    table([
      ["a", "bb", "c"],
      ["aaa", "b"],
    ]),
  ).toBe("a    bb  c\naaa  b\n");
});

test("keys of JSON are in snake_case, those that files gave are left", () => {
  expect(snakeCase({ lowMemory: [{ firstKeys: 1 }], metadata: { modelName: null } })).toEqual({
    low_memory: [{ first_keys: 1 }],
    metadata: { modelName: null },
  });
});
