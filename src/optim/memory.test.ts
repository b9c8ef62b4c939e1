import { describe, expect, test } from "vitest";
import { TintypeError } from "../util/errors.js";
import { type Kernels, PLAIN_KERNELS } from "./kernels.js";
import { takeMemory } from "./memory.js";

/** Numbers of all sizes that look random, with a few that are no numbers. */
function wild(length: number, seed: number, odd = true): Float32Array {
  let state = (seed * 2654435761) >>> 0;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const u = state / 2 ** 31 - 1;
    if (odd && state % 61 === 0) return u > 0 ? Number.POSITIVE_INFINITY : Number.NaN;
    return u * 2 ** ((state % 40) - 30);
  });
}

const ADAM = { scale: 0.3, l2: 0.01, shrink: 0.999, betas: [0.9, 0.999], epsilon: 1e-8 } as const;
const CASES: Readonly<Record<string, (k: Kernels, x: readonly Float32Array[]) => void>> = {
  adam: (k, [a, b, c, d]) => k.adam(a!, b!, c!, d!, { ...ADAM, stepSize: 0.01, rootScale: 3 }),
  sgd: (k, [a, b]) => k.sgd(a!, b!, { scale: 0.7, l2: 0.1, learningRate: 0.3 }),
  momentum: (k, [a, b, c]) => {
    const numbers = { scale: 0.7, l2: 0.1, learningRate: 0.3, momentum: 0.9, nesterov: true };
    k.momentum(a!, b!, c!, numbers);
  },
  lion: (k, [a, b, c]) =>
    k.lion(a!, b!, c!, { scale: 0.7, shrink: 0.9, learningRate: 0.3, betas: [0.9, 0.99] }),
  lerp: (k, [a, b]) => k.lerp(a!, b!, 0.1),
  add: (k, [a, b]) => k.add(a!, b!),
};

describe("kernels in WebAssembly give the bits of the plain ones", () => {
  const lengths = [1, 3, 4, 15, 16, 17, 64, 1000];

  test.each(Object.entries(CASES))("%s", (_, act) => {
    const memory = takeMemory(lengths.map((n) => [n, n, n, n]));
    for (const [i, group] of memory.groups.entries()) {
      const plain = group.map((_, j) => wild(lengths[i]!, 10 * i + j));
      for (const [j, array] of group.entries()) array.set(plain[j]!);
      act(memory.kernels, group);
      act(PLAIN_KERNELS, plain);
      expect(group).toEqual(plain);
    }
  });

  test.each(lengths)("the sum of %i squares", (length) => {
    const { groups, kernels } = takeMemory([[length]]);
    groups[0]![0]!.set(wild(length, length, false));
    const sum = kernels.sumOfSquares(groups[0]![0]!);
    expect(sum).toBe(PLAIN_KERNELS.sumOfSquares(groups[0]![0]!));
    const exact = groups[0]![0]!.reduce((n, x) => n + x * x, 0);
    expect(Math.abs(sum / exact - 1)).toBeLessThan(1e-12);
    groups[0]![0]![length - 1] = Number.NaN;
    expect(kernels.sumOfSquares(groups[0]![0]!)).toBeNaN();
  });
});

describe("memory", () => {
  test("is taken in pieces that hold whole groups, zeroed, on cache lines", () => {
    const memory = takeMemory([[100, 100], [5000], [3], [70_000, 1], [2]], 65_536);
    const buffers = memory.groups.map((group) => new Set(group.map((a) => a.buffer)));
    expect(buffers.map((b) => b.size)).toEqual([1, 1, 1, 1, 1]);
    expect(new Set(buffers.flatMap((b) => [...b])).size).toBe(3);
    for (const array of memory.groups.flat()) {
      expect(array.byteOffset % 64).toBe(0);
      expect(array.every((x) => x === 0)).toBe(true);
    }
    expect(memory.bytes).toBeLessThan(6 * 65_536 + 4 * 70_000);
  });

  test("arrays of one memory do not overlap", () => {
    const { groups } = takeMemory([
      [5, 17, 1],
      [16, 2],
    ]);
    const arrays = groups.flat();
    for (const [i, a] of arrays.entries()) a.fill(i + 1);
    for (const [i, a] of arrays.entries()) expect(new Set(a)).toEqual(new Set([i + 1]));
  });

  test("a parameter that no memory holds is refused before anything is taken", () => {
    const take = (): unknown => takeMemory([[4], [2 ** 29, 2 ** 29, 1]]);
    expect(take).toThrow(TintypeError);
    expect(take).toThrow(/a parameter of 536870912 numbers .* one memory of 4 GiB/);
  });

  test("kernels refuse arrays that do not belong together", () => {
    const { groups, kernels } = takeMemory([[8, 8], [8, 4], [8]], 64);
    const [[a, b], [c, d]] = groups as [Float32Array[], Float32Array[]];
    expect(() => kernels.add(a!, b!)).not.toThrow();
    expect(() => kernels.add(a!, c!)).toThrow(/belong together/);
    expect(() => kernels.add(c!, d!)).toThrow(/belong together/);
    expect(() => kernels.add(new Float32Array(8), a!)).toThrow(/outside/);
  });
});
