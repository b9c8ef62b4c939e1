import { expect, test } from "vitest";
import { resolveConfig } from "../config.js";
import { diffusionSchema } from "../diffusion/config.js";
import { changesBetween, mayChange, showChange } from "./changes.js";

const settings = (more: object): unknown => {
  const own = { steps: 10, data: { kind: "postcards" }, from: "a-model", ...more };
  return resolveConfig(diffusionSchema, own, "config.json").json;
};

/** What a resumed diffusion training says of its changes, and which of them it refuses. */
function changes(before: object, after: object): { told: string[]; refused: string[] } {
  const all = changesBetween(settings(before), settings(after));
  return {
    told: all.filter(mayChange).map(showChange),
    refused: all.filter((change) => !mayChange(change)).map(showChange),
  };
}

test("a run from before an option was there goes on", () => {
  const { logitNormal: _, ...before } = settings({}) as { readonly logitNormal?: unknown };
  const after = resolveConfig(diffusionSchema, before, "config.json").json;
  expect(changesBetween(after, settings({}))).toEqual([]);
});

test.each([
  [{}, { logitNormal: {} }, 'logitNormal: from null to {"mean":0,"std":1}'],
  [{ logitNormal: {} }, { logitNormal: { std: 1.8 } }, "logitNormal.std: from 1 to 1.8"],
  [{ logitNormal: {} }, {}, 'logitNormal: from {"mean":0,"std":1} to null'],
  [{}, { minSnr: 5 }, "minSnr: from null to 5"],
  [{}, { ema: null }, 'ema: from {"decay":0.9999,"warmup":true} to null'],
  [{}, { optimizer: { kind: "lion" } }, 'optimizer.kind: from "adamw" to "lion"'],
])("what would be learned otherwise is refused: %o to %o", (before, after, change) => {
  expect(changes(before, after).told).toEqual([]);
  expect(changes(before, after).refused).toContain(change);
});

test.each([
  [{ threads: 2 }, "threads: from nothing to 2"],
  [{ recompute: true }, 'recompute: from "auto" to true'],
  [{ sampling: { steps: 8 } }, "sampling.steps: from 20 to 8"],
])("what is learned the same may change: %o", (after, change) => {
  expect(changes({}, after)).toEqual({ told: [change], refused: [] });
});
