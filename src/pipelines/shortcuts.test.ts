import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readTensorFile } from "../formats/index.js";
import { SD1_UNET } from "../models/unet/config.js";
import { memorySource } from "../util/bytes.js";
import { fullSteps, type ShortcutRequest, settleShortcuts } from "./shortcuts.js";

const settled = (request: ShortcutRequest, side = 64) =>
  settleShortcuts(request, SD1_UNET, [side, side]);

describe("what a request leaves out of its shortcuts is filled in", () => {
  const rows: readonly [ShortcutRequest, object][] = [
    [{}, { mergeTokens: 1 }],
    [{ deepCache: 1, mergeTokens: 2 }, { mergeTokens: 2 }],
    [{ deepCache: 3 }, { mergeTokens: 1, deepCache: { every: 3, branch: 0, power: 1.4 } }],
    [
      { deepCache: { every: 2, branch: 11, power: 1.5 } },
      { mergeTokens: 1, deepCache: { every: 2, branch: 11, power: 1.5 } },
    ],
  ];
  test.each(rows)("%o", (request, whole) => {
    expect(settled(request)).toEqual(whole);
  });
});

describe("what shortcuts may not be", () => {
  const wrong: readonly [ShortcutRequest, number, RegExp][] = [
    [{ deepCache: 0 }, 64, /^deep cache: expected a whole number from 1 to 1000, got 0\.$/],
    [{ deepCache: 2.5 }, 64, /^deep cache: .* got 2\.5\.$/],
    [{ deepCache: Number.NaN }, 64, /^deep cache: .* got NaN\.$/],
    [{ deepCache: { every: 2, branch: 12 } }, 64, /^deep cache branch: .* from 0 to 11, got 12\.$/],
    [{ deepCache: { every: 2, branch: -1 } }, 64, /^deep cache branch: .* got -1\.$/],
    [
      { deepCache: { every: 2, power: 0.5 } },
      64,
      /^deep cache power: .* from 1 to 10, got 0\.5\.$/,
    ],
    [{ deepCache: { every: 2, power: Number.NaN } }, 64, /^deep cache power: .* got NaN\.$/],
    [{ mergeTokens: 0 }, 64, /^merge tokens: expected a whole number from 1 to 8, got 0\.$/],
    [{ mergeTokens: 9 }, 64, /^merge tokens: .* got 9\.$/],
    [{ mergeTokens: 4 }, 15, /^merge tokens: .* squares of 16 latents a side, .* has 15\./],
  ];
  test.each(wrong)("%o", (request, side, message) => {
    expect(() => settled(request, side)).toThrow(message);
    expect(() => settled(request, side)).toThrow(expect.objectContaining({ code: "bad-argument" }));
  });

  test("a square that just fits does", () => {
    expect(settled({ mergeTokens: 8 }, 64).mergeTokens).toBe(8);
  });
});

describe("steps that work deep features out", () => {
  const at = (count: number, every: number, power = 1): number[] => [
    ...fullSteps(count, { every, power }),
  ];

  test("are every so many", () => {
    expect(at(10, 3)).toEqual([0, 3, 6, 9]);
    expect(at(4, 1)).toEqual([0, 1, 2, 3]);
    expect(at(3, 9)).toEqual([0]);
  });

  test("or further and further apart, as DeepCache has them", async () => {
    const golden = new URL("../../test/golden/lesswork/lesswork.safetensors", import.meta.url);
    const bytes = new Uint8Array(readFileSync(golden));
    const { metadata } = await readTensorFile(memorySource("lesswork", bytes));
    const rows = JSON.parse(metadata!.early!) as {
      count: number;
      steps: number;
      power: number;
      at: number[];
    }[];
    expect(rows.length).toBeGreaterThan(2);
    for (const { count, steps, power, at: reference } of rows)
      expect(at(count, Math.ceil(count / steps), power)).toEqual(reference);
  });

  test("never two at once, and never beyond the last", () => {
    for (const count of [1, 2, 7, 20, 50]) {
      for (const every of [1, 2, 3, 8]) {
        for (const power of [1.01, 1.5, 3, 10]) {
          const steps = at(count, every, power);
          expect(steps).toHaveLength(Math.ceil(count / every));
          expect(steps[0]).toBe(0);
          expect(steps.every((s, i) => i === 0 || s > steps[i - 1]!)).toBe(true);
          expect(steps.at(-1)!).toBeLessThan(count);
        }
      }
    }
  });
});
