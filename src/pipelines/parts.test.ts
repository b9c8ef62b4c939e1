import { describe, expect, test } from "vitest";
import { symbol } from "../graph/dim.js";
import { graphOf } from "../graph/graph.js";
import * as op from "../graph/ops.js";
import { SD_VAE } from "../models/vae/config.js";
import { int8Params } from "../nn/int8.js";
import { conv2d } from "../nn/layers.js";
import { fromFloat32 } from "../tensor/convert.js";
import type { DType } from "../tensor/dtype.js";
import type { NoiseSource } from "../tensor/random.js";
import type { StoredTensor } from "../tensor/stored.js";
import { full, sizeOf, tensor } from "../tensor/tensor.js";
import { memorySource } from "../util/bytes.js";
import { decoderGraph, encoderGraph } from "./graphs.js";
import {
  type MemoryPrediction,
  predictMemory,
  requireMemory,
  tilesThatFit,
  weightBytes,
} from "./memory.js";
import type { Part } from "./parts.js";
import { samplePosterior } from "./posterior.js";
import { lookUpTokens } from "./textEmbedding.js";
import { type TileProgram, tileGraph } from "./tileGraphs.js";
import { DEFAULT_TILES, settleTiling, type Tiles, type Tiling } from "./tiling.js";

/** Noise that is one number everywhere. */
const constantNoise = (value: number): NoiseSource => ({
  seed: 0n,
  randn: (shape) => full(shape, value),
  brownian: () => expect.unreachable(),
});

describe("a posterior sample is (mean + exp(logvar / 2) noise) times the factor", () => {
  const moments = tensor([1, 2, 1, 2], Float32Array.of(1, 2, Math.log(4), Math.log(9)));

  test("drawn by each source from one image", () => {
    const z = samplePosterior(moments, [constantNoise(1), constantNoise(-1)], 0.5);
    expect(z.shape).toEqual([2, 1, 1, 2]);
    const want = [(1 + 2) / 2, (2 + 3) / 2, (1 - 2) / 2, (2 - 3) / 2];
    want.forEach((v, i) => {
      expect(z.data[i]).toBeCloseTo(v, 6);
    });
  });

  test("drawn by each source from its own image", () => {
    const two = tensor([2, 2, 1, 1], Float32Array.of(1, 0, 5, Math.log(4)));
    expect([...samplePosterior(two, [constantNoise(1), constantNoise(1)], 1).data]).toEqual([2, 7]);
  });

  test("with logvar kept in [-30, 20]", () => {
    const extremes = [-1e9, -30.5, 20.5, 1e9];
    const wild = tensor([1, 2, 1, 4], Float32Array.of(0, 0, 0, 0, ...extremes));
    const z = samplePosterior(wild, [constantNoise(1)], 1);
    const want = [Math.exp(-15), Math.exp(-15), Math.exp(10), Math.exp(10)].map(Math.fround);
    expect([...z.data]).toEqual(want);
  });
});

describe("token rows are read from the table", () => {
  const values = Float32Array.from({ length: 5 * 3 }, (_, i) => i - 7.5);
  const reads: number[] = [];
  const stored = (dtype: "f32" | "f16" | "bf16", ahead = 6): StoredTensor => {
    const bytes = fromFloat32(values, dtype);
    const file = new Uint8Array(ahead + bytes.length);
    file.set(bytes, ahead);
    const source = memorySource("model.safetensors", file);
    const read: typeof source.read = (offset, length) => {
      reads.push(length);
      return source.read(offset, length);
    };
    const length = bytes.length;
    return {
      dtype: dtype as DType,
      shape: [5, 3],
      source: { ...source, read },
      offset: ahead,
      length,
    };
  };
  const batch = [Int32Array.of(4, 0, 4), Int32Array.of(1, 1, 0)];

  test.each(["f32", "f16", "bf16"] as const)(
    "of %s, each row once, at any offset",
    async (dtype) => {
      reads.length = 0;
      const got = await lookUpTokens(stored(dtype), batch, "model.safetensors");
      expect(got.shape).toEqual([2, 3, 3]);
      const rows = [4, 0, 4, 1, 1, 0].flatMap((id) => [...values.slice(3 * id, 3 * id + 3)]);
      expect([...got.data]).toEqual(rows);
      const rowBytes = dtype === "f32" ? 12 : 6;
      expect(reads).toEqual([rowBytes, rowBytes, rowBytes]);
    },
  );

  test.each([5, -1])("a token %i that the table lacks is named", async (id) => {
    await expect(
      lookUpTokens(stored("f32"), [Int32Array.of(0, id)], "te.bin"),
    ).rejects.toMatchObject({
      code: "mismatch",
      message: `te.bin: the tokenizer has a token ${id}, but the text encoder's table has 5 rows. They belong to different models.`,
    });
  });

  test("a table that its file cuts short is refused", async () => {
    const table = stored("f32");
    const cut = { ...table, source: memorySource("cut.bin", new Uint8Array(30)) };
    await expect(lookUpTokens(cut, [Int32Array.of(4)], "cut.bin")).rejects.toMatchObject({
      code: "bad-file",
    });
  });
});

describe("memory", () => {
  const [b, h, w] = [symbol("b"), symbol("h"), symbol("w")];
  /** A part with a weight of `count` numbers, whose run holds two images of `channels`. */
  const part = (count: number, channels: number) =>
    graphOf({ y: op.add(op.input("x", [b, channels, h, w]), op.sum(op.param("w", [count]), [0])) });
  const graphs = {
    text: part(1000, 1),
    unet: part(50_000, 10),
    encoder: part(2000, 20),
    decoder: part(3000, 30),
  };
  const size = { width: 64, height: 32, batch: 2, guided: true };
  const predict = (parts: readonly Part[], more = {}) =>
    predictMemory({ graphs: (part) => [graphs[part]], factor: 8 }, size, { parts, ...more });
  const pixels = 4 * 8;
  /** Twice what is alive: input, weight's sum, result. */
  const activations = (batch: number, channels: number) =>
    2 * (2 * 4 * batch * channels * pixels + 4);
  const base = 200e6;

  test("of weights is their count, four bytes each", () => {
    expect(weightBytes(graphs.unet, 4)).toBe(200_000);
    expect(sizeOf([50_000])).toBe(50_000);
  });

  test("of weights in 8 bits is one byte each, four for their scales, ranges and biases", () => {
    const x = op.input("x", [b, 6, h, w]);
    const convolution = conv2d(int8Params({ keeps: () => false }).at("conv"), x, 10, 3);
    const numbers = 10 * 6 * 3 * 3;
    expect(weightBytes(graphOf({ y: convolution }), 4)).toBe(numbers + 3 * 4 * 10);
    expect(weightBytes(graphOf({ y: convolution }), 1)).toBe(numbers + 3 * 10);
    const kept = conv2d(int8Params({ keeps: () => true }).at("conv"), x, 10, 3);
    expect(weightBytes(graphOf({ y: kept }), 4)).toBe(4 * (numbers + 10));
  });

  test("is all weights and the largest part's results; guidance doubles the UNet's", () => {
    const { peak, parts } = predict(["text", "unet", "decoder"]);
    expect(parts.unet).toEqual({ weights: 200_000, activations: activations(4, 10) });
    expect(parts.decoder.activations).toBe(activations(1, 30));
    expect(peak - base).toBe(4000 + 200_000 + 12_000 + activations(4, 10));
    const unguided = predictMemory(
      { graphs: (part) => [graphs[part]], factor: 8 },
      { ...size, guided: false },
      { parts: ["unet"] },
    );
    expect(unguided.parts.unet.activations).toBe(activations(2, 10));
  });

  test("loaded parts need no more room, and low memory holds one at a time", () => {
    const loaded = predict(["text", "unet"], { loaded: ["unet"] });
    expect(loaded.peak - base).toBe(4000 + activations(4, 10));
    const low = predict(["text", "unet"], { lowMemory: true });
    expect(low.peak - base).toBe(200_000 + activations(4, 10));
  });

  test("that is there is enough; that is not is told with what helps", () => {
    const prediction = { ...predict(["unet"]), peak: 6.54e9 };
    requireMemory(prediction, 6.54e9, size, false);
    const refusal = (lowMemory: boolean, batch: number): unknown => {
      try {
        return requireMemory(prediction, 6.4e9, { ...size, batch }, lowMemory);
      } catch (error) {
        return error;
      }
    };
    expect(refusal(false, 2)).toMatchObject({
      code: "out-of-memory",
      message:
        "64x32 in batches of 2 would take about 6.5 GB of memory, and 6.4 GB are free. Try a smaller " +
        "picture (the UNet alone would need 0.0 GB for this one), or a smaller batch, or --low-memory.",
    });
    expect((refusal(true, 1) as Error).message).toBe(
      "64x32 would take about 6.5 GB of memory, and 6.4 GB are free. Try a smaller picture (the UNet " +
        "alone would need 0.0 GB for this one).",
    );
  });
});

describe("memory in tiles", () => {
  const tiled = (tile: number) => ({
    tiles: { tile, overlap: 64 },
    config: SD_VAE,
    graph: (part: "encoder" | "decoder", program: TileProgram) => tileGraph(part, program, SD_VAE),
  });
  const whole = { encoder: encoderGraph(SD_VAE), decoder: decoderGraph(SD_VAE) };
  const none = graphOf({ y: op.input("x", [symbol("b")]) });
  const graphs = { text: none, unet: none, ...whole };
  const predict = (side: number, tile?: number): MemoryPrediction =>
    predictMemory(
      { graphs: (part) => [graphs[part]], factor: 8 },
      { width: side, height: side, batch: 1, guided: false },
      { parts: ["encoder", "decoder"], tiled: tile === undefined ? undefined : tiled(tile) },
    );

  test("of SD 1.5's autoencoder is below 6 GB at 2048 x 2048, and three times that whole", () => {
    expect(predict(2048, 512).peak).toBeLessThan(6e9);
    expect(predict(2048).peak).toBeGreaterThan(18e9);
    for (const part of ["encoder", "decoder"] as const) {
      const [small, large] = [predict(1024, 256).parts[part], predict(1024, 512).parts[part]];
      expect(small.activations).toBeLessThanOrEqual(large.activations);
      expect(large.activations).toBeLessThan(predict(1024).parts[part].activations);
      expect(large.weights).toBeLessThanOrEqual(weightBytes(whole[part], 4));
    }
  });

  const size = { width: 1024, height: 1024, batch: 1, guided: true };
  const choose = (tiling: Tiling, available: number | undefined, at = size): Tiles | undefined => {
    const peak = (tiles?: Tiles): MemoryPrediction => ({
      ...predict(64),
      peak: tiles ? 4e9 : 9e9,
    });
    return tilesThatFit(peak, at, settleTiling(tiling, 8), { available, lowMemory: false });
  };

  test("auto takes tiles where the whole does not fit and tiles do", () => {
    expect(choose("auto", 10e9)).toBeUndefined();
    expect(choose("auto", 9e9)).toBeUndefined();
    expect(choose("auto", 8.9e9)).toEqual(DEFAULT_TILES);
    expect(choose("auto", undefined)).toBeUndefined();
    expect(() => choose("auto", 3.9e9)).toThrow(/would take about 4.0 GB/);
    expect(() => choose("auto", 8e9, { ...size, width: 512, height: 512 })).toThrow(/9.0 GB/);
  });

  test("tiles that are asked for are taken where there is more than one", () => {
    expect(choose(true, 10e9)).toEqual(DEFAULT_TILES);
    expect(choose({ tile: 256 }, undefined)).toEqual({ tile: 256, overlap: 64 });
    expect(choose(true, 10e9, { ...size, width: 512, height: 512 })).toBeUndefined();
    expect(choose({ tile: 1024 }, 10e9)).toBeUndefined();
    expect(() => choose(true, 3e9)).toThrow(/4.0 GB/);
  });

  test("without tiles a picture that does not fit is refused, and tiles are named", () => {
    expect(choose(false, 10e9)).toBeUndefined();
    expect(() => choose(false, 8e9)).toThrow(/9.0 GB .* or --low-memory, or --vae-tiling auto\.$/);
    expect(() => choose(false, 8e9, { ...size, width: 512, height: 512 })).toThrow(/low-memory\.$/);
  });
});
