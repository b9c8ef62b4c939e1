import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect } from "vitest";
import { nodePlatform } from "../../src/platform/node/platform.js";
import type { Engine } from "../../src/runtime/engine.js";
import { nodeEngine } from "../../src/runtime/node/engine.js";
import { sizeOf, type Tensor, tensor } from "../../src/tensor/tensor.js";
import type { Weights } from "../../src/training/weights.js";
import { derivedNoise, derivedWeight, uniform } from "../golden-weights.js";

/*
 * Data of the golden trainings, as scripts/golden/training.py makes them from names.
 */

/** Short trainings in `npm test`, whole ones in the full run. */
export const STEPS: number = process.env.TINTYPE_TEST === "full" ? 100 : 20;

interface Curves {
  readonly [kind: string]: Readonly<Record<string, readonly number[]>>;
}

/** What PyTorch's trainings said. */
export function curves(): Curves {
  const path = join(resolve(import.meta.dirname, "../golden/training"), "curves.json");
  return JSON.parse(readFileSync(path, "utf8")) as Curves;
}

/** Losses of PyTorch's training. */
export function curve(kind: string, variant: string): readonly number[] {
  return curves()[kind]![variant]!;
}

/** Checks that losses follow PyTorch's within 1e-3 of their size. */
export function expectToFollow(losses: readonly number[], reference: readonly number[]): void {
  const apart = losses.map((loss, i) => Math.abs(loss - reference[i]!) / Math.abs(reference[i]!));
  expect(
    Math.max(...apart),
    `${losses.slice(-3)} for ${reference.slice(losses.length - 3, losses.length)}`,
  ).toBeLessThan(1e-3);
}

export function cpuEngine(): Engine {
  return nodeEngine({ platform: nodePlatform(), device: "cpu", threads: 2, cacheLimit: 0 });
}

/** Weights of `model` by name. */
export function derivedWeights(
  model: string,
  declared: Iterable<{ readonly name: string; readonly shape: readonly number[] }>,
): Weights {
  return new Map(
    Array.from(declared, ({ name, shape }) => [name, derivedWeight(model, name, shape)]),
  );
}

/** Waves in [-1,1] [b,3,h,w]. */
export function pictures(name: string, b: number, h: number, w: number): Tensor {
  const u = uniform(`pictures/${name}`, b * 9);
  const data = Float32Array.from({ length: b * 3 * h * w }, (_, i) => {
    const [x, y, plane] = [i % w, Math.floor(i / w) % h, Math.floor(i / (w * h))];
    const [fx, fy, phase] = [u[3 * plane]!, u[3 * plane + 1]!, u[3 * plane + 2]!];
    return Math.sin(6 * fx * (x / w) + 6 * fy * (y / h) + 3 * phase);
  });
  return tensor([b, 3, h, w], data);
}

/** Standard normal in mean and variance. */
export function noise(name: string, ...shape: number[]): Tensor {
  return derivedNoise(name, shape);
}

/** Whole numbers in [0, below). */
export function whole(name: string, n: number, below: number): number[] {
  return Array.from(uniform(name, n), (u) => Math.floor(((u + 1) / 2) * below));
}

/** Token ids [b,n]: start, 3 to 9 words, ends. */
export function captionIds(name: string, b: number, n: number, vocabulary = 64): Tensor {
  const words = whole(`words/${name}`, b * n, vocabulary - 2);
  const lengths = whole(`lengths/${name}`, b, 7).map((length) => length + 3);
  const ids = Float32Array.from({ length: sizeOf([b, n]) }, (_, i) => {
    const at = i % n;
    if (at === 0) return vocabulary - 2;
    return at <= lengths[Math.floor(i / n)]! ? words[i]! : vocabulary - 1;
  });
  return tensor([b, n], ids);
}
