import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { derivedWeight } from "./golden-weights.js";

interface Sample {
  readonly model: string;
  readonly key: string;
  readonly shape: readonly number[];
  readonly first: readonly number[];
  readonly last: number;
}

const samples: Sample[] = JSON.parse(
  readFileSync("test/golden/components/derived.json", "utf8"),
) as Sample[];

test.each(samples)("$model/$key is derived bit for bit", ({ model, key, shape, first, last }) => {
  const { data } = derivedWeight(model, key, shape);
  expect([...data.slice(0, first.length)]).toEqual(first);
  expect(data.at(-1)).toBe(last);
});
