import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { add, sub } from "./elementwise.js";
import { cudaNoise, torchCpuNoise } from "./random.js";
import { seedSequence } from "./seedSequence.js";
import type { Tensor } from "./tensor.js";

/** Made by scripts/golden/random_numbers.py. */
interface Golden {
  seedSequence: { entropy: string; spawnKey: string[]; poolSize: number; words: number[] }[];
  brownian: {
    seed: string;
    shape: number[];
    t0: number;
    t1: number;
    draws: { from: number; to: number; data: string }[];
  }[];
}

const golden: Golden = JSON.parse(
  readFileSync(new URL("../../test/golden/random/random.json", import.meta.url), "utf8"),
);

function floats(base64: string): number[] {
  const bytes = Buffer.from(base64, "base64");
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
}

/** Largest difference, relative to the largest value of b. */
function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const sizes = Array.from(b, Math.abs);
  const differences = sizes.map((_, i) => Math.abs(a[i]! - b[i]!));
  return Math.max(...differences) / (Math.max(...sizes) || 1);
}

describe("seedSequence", () => {
  it.each(golden.seedSequence)("mixes $entropy, $spawnKey in $poolSize words as NumPy", (c) => {
    const key = c.spawnKey.map(BigInt);
    const words = seedSequence(BigInt(c.entropy), key, c.words.length, c.poolSize);
    expect([...words]).toEqual(c.words);
  });
});

describe("brownianTree", () => {
  it.each(golden.brownian)("moves as torchsde's on [$t0, $t1], seed $seed", (c) => {
    const motion = torchCpuNoise(BigInt(c.seed)).brownian(c.shape, c.t0, c.t1);
    for (const { from, to, data } of c.draws) {
      const got = motion(from, to);
      expect(got.shape).toEqual(c.shape);
      expect(distance(got.data, floats(data)), `${from} to ${to}`).toBeLessThan(1e-6);
    }
  });

  const tree = () => torchCpuNoise(11).brownian([400], 0, 10);

  it("does not depend on what was asked before, even beyond what it keeps", () => {
    const used = tree();
    for (let i = 0; i < 60; i++) used(i / 7, 10 - i / 9);
    expect(used(1.25, 7.5)).toEqual(tree()(1.25, 7.5));
  });

  it("adds up, turns round, and has the variance of its length", () => {
    const w = tree();
    const parts: Tensor = add(w(1, 3.3), w(3.3, 9));
    expect(distance(parts.data, w(1, 9).data)).toBeLessThan(1e-6);
    expect(
      distance(
        sub(w(9, 1), w(1, 9)).data,
        w(9, 1).data.map((x) => 2 * x),
      ),
    ).toBeLessThan(1e-6);
    const variance = w(1, 9).data.reduce((s, x) => s + x * x, 0) / 400;
    expect(variance).toBeGreaterThan(6);
    expect(variance).toBeLessThan(10);
  });

  it("takes its noise from the source's own kind of generator", () => {
    const [cpu, cuda] = [torchCpuNoise(11), cudaNoise(11)].map((s) => s.brownian([20], 0, 1)(0, 1));
    expect(distance(cpu!.data, cuda!.data)).toBeGreaterThan(0.1);
    const seed = BigInt(seedSequence(11n, [], 1, 24)[0]!);
    expect(cuda!.data).toEqual(cudaNoise(seed).randn([20]).data);
  });

  it("is still over an interval without length", () => {
    const still = torchCpuNoise(1).brownian([3], 2, 2);
    expect([...still(2, 2).data, ...still(0, 5).data]).toEqual([0, 0, 0, 0, 0, 0]);
  });
});
