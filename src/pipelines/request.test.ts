import { describe, expect, test } from "vitest";
import { SD1_UNET } from "../models/unet/config.js";
import { TintypeError } from "../util/errors.js";
import { type GenerationRequest, latentShape, noiseSources, runSize, settle } from "./request.js";

const MODEL = { factor: 8, defaults: { steps: 12, guidanceScale: 3 }, unet: SD1_UNET };
const NATIVE = { width: 512, height: 768 };
const settled = (request: Partial<GenerationRequest> = {}) =>
  settle({ prompt: "a", seed: 7, ...request }, NATIVE, MODEL);

describe("what a request leaves out", () => {
  test("is filled in", () => {
    expect(settled()).toEqual({
      prompts: ["a"],
      negativePrompts: [""],
      width: 512,
      height: 768,
      steps: 12,
      guidanceScale: 3,
      seed: 7n,
      rng: "cpu",
      seeds: [7n],
      shortcuts: { mergeTokens: 1 },
      tiling: { when: "auto", tiles: { tile: 512, overlap: 64 } },
    });
  });

  test("a request's own settings win", () => {
    expect(settled({ steps: 5, guidanceScale: 1 })).toMatchObject({ steps: 5, guidanceScale: 1 });
  });

  test("a seed is drawn anew each time, and can be typed", () => {
    const seeds = Array.from({ length: 8 }, () => settled({ seed: undefined }).seed);
    expect(new Set(seeds).size).toBeGreaterThan(6);
    for (const seed of seeds) expect(seed >= 0n && seed < 2n ** 32n).toBe(true);
  });
});

describe("batches", () => {
  test("list each prompt batch-size times, with seeds that count on and its own negative", () => {
    const request = { prompt: ["a", "b"], negativePrompt: ["x", "y"], batchSize: 2 };
    const { prompts, negativePrompts, seeds } = settled(request);
    expect(prompts).toEqual(["a", "a", "b", "b"]);
    expect(negativePrompts).toEqual(["x", "x", "y", "y"]);
    expect(seeds).toEqual([7n, 8n, 9n, 10n]);
    expect(settled({ prompt: ["a", "b"], negativePrompt: "x" }).negativePrompts).toEqual([
      "x",
      "x",
    ]);
  });

  test("picture k has the noise of seed + k alone", () => {
    const batch = noiseSources(settled({ batchSize: 3 })).map((s) => s.randn([1, 4, 8, 8]));
    for (const [k, noise] of batch.entries()) {
      const [alone] = noiseSources(settled({ seed: 7 + k }));
      expect(noise).toEqual(alone!.randn([1, 4, 8, 8]));
    }
    const [gpu] = noiseSources(settled({ rng: "cuda" }));
    expect(gpu!.randn([4]).data).not.toEqual(batch[0]!.data.slice(0, 4));
  });

  test("sizes that depend on them", () => {
    const settings = settled({ batchSize: 2, width: 64 });
    const model = { vae: { latentChannels: 4 } as never, factor: 8 };
    expect(latentShape(model, settings)).toEqual([2, 4, 96, 8]);
    expect(runSize(settings)).toEqual({ width: 64, height: 768, batch: 2, guided: true });
    expect(runSize(settled({ guidanceScale: 1 })).guided).toBe(false);
  });
});

describe("what a request may not be", () => {
  const wrong: readonly [Partial<GenerationRequest>, RegExp][] = [
    [{ width: 100 }, /^width: expected a multiple of 8, got 100\. Try 104\.$/],
    [{ height: 0 }, /^height: expected a multiple of 8, got 0\. Try 8\.$/],
    [{ height: -8 }, /^height: .* got -8\. Try 8\.$/],
    [{ width: 8.5 }, /^width: .* got 8\.5\. Try 8\.$/],
    [{ width: Number.NaN }, /^width: .* got NaN\. Try 8\.$/],
    [{ width: 1e9 }, /^width: expected at most 16384 pixels, got 1000000000\.$/],
    [
      { height: Number.POSITIVE_INFINITY },
      /^height: expected at most 16384 pixels, got Infinity\.$/,
    ],
    [{ batchSize: 0 }, /^batch size: expected a whole number from 1 .* got 0\.$/],
    [{ batchSize: 1.5 }, /^batch size: .* got 1\.5\.$/],
    [{ batchSize: 1e9 }, /^batch size: .* got 1000000000\.$/],
    [{ guidanceScale: Number.NaN }, /^guidance scale: expected a number, got NaN\.$/],
    [{ guidanceScale: Number.POSITIVE_INFINITY }, /^guidance scale: .* got Infinity\.$/],
    [{ prompt: [] }, /^prompt: expected at least one\.$/],
    [{ prompt: ["a", "b"], negativePrompt: ["x"] }, /one for each of the 2 prompts, got 1\.$/],
    [{ prompt: "a", negativePrompt: ["x", "y"] }, /negative prompt: expected one, got 2\.$/],
    [{ seed: 1.5 }, /^seed: expected a whole number, got 1\.5\./],
    [{ seed: 2 ** 60 }, /^seed: .* Above 2\^53 pass a BigInt\.$/],
    [
      { seed: 2n ** 64n },
      /^seed: expected a number from -2\^63 to 2\^64 - 1, got 18446744073709551616\.$/,
    ],
    [{ seed: 2n ** 64n - 1n, batchSize: 2 }, /^seed: expected a number from -2\^63 to 2\^64 - 2/],
    [{ seed: -(2n ** 63n) - 1n }, /^seed: expected a number from/],
  ];
  test.each(wrong)("%o", (request, message) => {
    const error = (() => {
      try {
        return settled(request);
      } catch (e) {
        return e;
      }
    })();
    expect(error).toBeInstanceOf(TintypeError);
    expect(error).toMatchObject({ code: "bad-argument" });
    expect((error as Error).message).toMatch(message);
  });

  test("the outermost seeds are fine", () => {
    expect(settled({ seed: 2n ** 64n - 2n, batchSize: 2 }).seeds[1]).toBe(2n ** 64n - 1n);
    expect(settled({ seed: -1 }).seeds).toEqual([-1n]);
  });

  test("an aborted signal comes first", () => {
    expect(() => settled({ signal: AbortSignal.abort(), width: 3 })).toThrow(
      expect.objectContaining({ code: "aborted" }),
    );
  });
});

describe("tiles", () => {
  test("are asked for by name, by size, or not at all", () => {
    const tiling = (value: GenerationRequest["tiling"]) => settled({ tiling: value }).tiling;
    expect(tiling("auto").when).toBe("auto");
    expect(tiling(false).when).toBe("never");
    expect(tiling(true)).toEqual({ when: "always", tiles: { tile: 512, overlap: 64 } });
    expect(tiling({ tile: 256 })).toEqual({ when: "always", tiles: { tile: 256, overlap: 64 } });
    expect(tiling({ overlap: 0 }).tiles).toEqual({ tile: 512, overlap: 0 });
  });

  test.each([
    [{ tile: 100 }, /^tile: expected a multiple of 8 from 64 pixels on, got 100/],
    [{ tile: 56 }, /^tile: expected a multiple of 8 from 64 pixels on, got 56/],
    [{ tile: Number.NaN }, /^tile: /],
    [{ overlap: 20 }, /^overlap of tiles: expected a multiple of 8 .* \(256\), got 20/],
    [{ overlap: -8 }, /^overlap of tiles: /],
    [{ tile: 64 }, null],
    [{ tile: 64, overlap: 40 }, /^overlap of tiles: .* half a tile \(32\), got 40/],
  ])("of %j", (tiling, message) => {
    if (message === null)
      expect(settled({ tiling }).tiling.tiles).toEqual({ tile: 64, overlap: 32 });
    else expect(() => settled({ tiling })).toThrow(message);
  });
});
