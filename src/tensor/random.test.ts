import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { torchGenerator } from "./mt19937.js";
import { type PhiloxWords, philox4x32 } from "./philox.js";
import { brownianNoise, cudaNoise, randnBatch, torchCpuNoise } from "./random.js";

/** Made by scripts/golden/random_numbers.py, which says how arrays are packed. */
interface Packed {
  data?: string;
  sha256?: string;
  ends?: string;
}
interface Golden {
  cpu: { seed: string; sizes: number[]; draws: Packed[] }[];
  rand: { seed: string; size: number; draw: Packed }[];
  philox: { counter: PhiloxWords; key: [number, number]; words: number[] }[];
  cuda: { seed: string; threads: number; sizes: number[]; draws: { data: string }[] }[];
}

const golden: Golden = JSON.parse(
  readFileSync(new URL("../../test/golden/random/random.json", import.meta.url), "utf8"),
);

function bytesOf(x: Float32Array<ArrayBuffer>): Buffer {
  return Buffer.from(x.buffer, x.byteOffset, x.byteLength);
}

function floats(base64: string): number[] {
  const bytes = Buffer.from(base64, "base64");
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
}

/** The same form as the fixture's, so that a difference shows the numbers. */
function pack(x: Float32Array<ArrayBuffer>): Packed {
  const bytes = bytesOf(x);
  if (bytes.length <= 256) return { data: bytes.toString("base64") };
  const ends = Buffer.concat([bytes.subarray(0, 32), bytes.subarray(-32)]);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { sha256, ends: ends.toString("base64") };
}

describe("torchCpuNoise", () => {
  it.each(golden.cpu)("draws what torch.randn draws: seed $seed, sizes $sizes", (c) => {
    const noise = torchCpuNoise(BigInt(c.seed));
    expect(c.sizes.map((n) => pack(noise.randn([n]).data))).toEqual(c.draws);
  });

  it("takes the seed modulo 2^64, and numbers as well as bigints", () => {
    expect(torchCpuNoise(-1).seed).toBe(2n ** 64n - 1n);
    expect(torchCpuNoise(5).randn([4])).toEqual(torchCpuNoise(5n).randn([4]));
  });

  it("has no numbers in an empty shape, and draws none for it", () => {
    const noise = torchCpuNoise(3);
    expect(noise.randn([0, 4]).data).toHaveLength(0);
    expect(noise.randn([20])).toEqual(torchCpuNoise(3).randn([20]));
  });

  it.each([0.5, Number.NaN, 2 ** 53, 2n ** 64n, -(2n ** 63n) - 1n])("refuses seed %s", (seed) => {
    expect(() => torchCpuNoise(seed)).toThrow(/seed: expected an integer from -2\^63 to 2\^64 - 1/);
  });
});

describe("torchGenerator", () => {
  it.each(golden.rand)("draws what torch.rand draws: seed $seed, $size numbers", (c) => {
    expect(pack(torchGenerator(BigInt(c.seed)).rand(c.size))).toEqual(c.draw);
  });
});

describe("cudaNoise", () => {
  it.each(golden.philox)("has Philox words as Random123 has: $words", (c) => {
    philox4x32(c.counter, c.key);
    expect(c.counter).toEqual(c.words);
  });

  it.each(golden.cuda)("lays them out as PyTorch's kernel does: seed $seed, sizes $sizes", (c) => {
    const noise = cudaNoise(BigInt(c.seed), { threads: c.threads });
    c.sizes.forEach((n, i) => {
      const [got, want] = [noise.randn([n]).data, floats(c.draws[i]!.data)];
      expect(Math.max(...want.map((w, k) => Math.abs(w - got[k]!)))).toBeLessThan(1e-6);
    });
  });

  it("gives the numbers that A1111's web UI states for a GPU", () => {
    const stated = [
      -0.92466259, -0.42534415, -2.6438457, 0.14518388, -0.12086647, -0.57972564, -0.62285122,
      -0.32838709, -1.07454231, -0.36314407, -1.67105067, 2.26550497,
    ];
    const got = cudaNoise(0).randn([3, 4]).data;
    stated.forEach((x, i) => {
      expect(got[i]).toBeCloseTo(x, 5);
    });
  });

  // Beyond its threads, a GPU's own layout shows.
  it("gives the numbers that an RTX A4000 printed (pytorch issue 97097)", () => {
    const x = cudaNoise(14, { threads: 48 * 1536 }).randn([1000, 100]).data;
    const row = (i: number): number[] => [0, 1, 2, 97, 98, 99].map((j) => x[100 * i + j]!);
    const printed = {
      0: [2.8731, 5.2727, 2.9889, 1.6853, 9.6331, 6.6319],
      997: [8.6297, 2.3137, 6.2596, 7.9358, 4.4697, 2.7475],
      999: [2.7337, 2.2106, 7.7815, 8.2207, 6.5395, 4.2604],
    };
    for (const [i, values] of Object.entries(printed)) {
      const got = row(Number(i)).map((v) => (5 + v * Math.sqrt(5)).toFixed(4));
      expect(got).toEqual(values.map((v) => v.toFixed(4)));
    }
  });

  it.each([
    { gpu: "A100", threads: 108 * 2048, tail: [0.1549, -0.6797, -0.1656] },
    { gpu: "H100", threads: 132 * 2048, tail: [-0.697, -0.778, 0.3267] },
  ])("gives the numbers that an $gpu printed (pytorch issue 143086)", ({ threads, tail }) => {
    const x = cudaNoise(1, { threads }).randn([49 * 12 * 112 * 144]).data;
    const ends = [...x.slice(0, 3), ...x.slice(-3)].map((v) => v.toFixed(4));
    expect(ends).toEqual([-0.2963, 2.6764, -0.1408, ...tail].map((v) => v.toFixed(4)));
  });

  it("refuses a GPU that holds less than a block", () => {
    expect(() => cudaNoise(0, { threads: 100 })).toThrow(/at least 256, got 100/);
  });
});

describe("batches", () => {
  const sources = () => [torchCpuNoise(8), torchCpuNoise(9)];

  it("draw picture k from source k", () => {
    const both = randnBatch(sources(), [2, 1, 3, 7]).data;
    expect(both.slice(0, 21)).toEqual(torchCpuNoise(8).randn([21]).data);
    expect(both.slice(21)).toEqual(torchCpuNoise(9).randn([21]).data);
  });

  it("move picture k by the tree of source k, apart from draws, at variance 1", () => {
    const own = sources();
    randnBatch(own, [2, 20]);
    const noise = brownianNoise(own, [2, 20], 1, 9)(7, 3).data;
    const increment = torchCpuNoise(9).brownian([20], 1, 9)(7, 3).data;
    expect(noise.slice(20)).toEqual(increment.map((x) => x / 2));
  });

  it("want one source a picture", () => {
    expect(() => randnBatch(sources(), [3, 4])).toThrow(/wants 3 sources, got 2/);
  });
});
