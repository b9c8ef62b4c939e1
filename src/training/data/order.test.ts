import { describe, expect, it } from "vitest";
import { bucketSizes, groupBySize, nearestSize } from "./buckets.js";
import { shuffledOrder } from "./order.js";
import { prefetch } from "./prefetch.js";

describe("bucketSizes", () => {
  it("of 512 in steps of 64, as long as two to one", () => {
    const sizes = bucketSizes({ resolution: 512, multipleOf: 64, maxAspect: 2 });
    expect(sizes.map((s) => s.join("x"))).toEqual([
      "512x512",
      "448x576",
      "576x448",
      "384x640",
      "640x384",
    ]);
  });

  it.each([
    [512, 64, 4],
    [768, 64, 3],
    [1024, 8, 2.5],
    [200, 32, 16],
    [20, 64, 2],
  ])("resolution %i, multiples of %i, aspect up to %d", (resolution, multipleOf, maxAspect) => {
    const sizes = bucketSizes({ resolution, multipleOf, maxAspect });
    expect(new Set(sizes.map((s) => s.join("x"))).size).toBe(sizes.length);
    for (const [w, h] of sizes) {
      expect([w % multipleOf, h % multipleOf]).toEqual([0, 0]);
      expect(w * h).toBeLessThanOrEqual(Math.max(resolution, multipleOf) ** 2);
      // No height of one step more would do.
      if (w < h) expect(w * (h + multipleOf)).toBeGreaterThan(resolution ** 2);
      expect(Math.max(w / h, h / w)).toBeLessThanOrEqual(maxAspect);
    }
  });

  it("a picture goes to the nearest shape, both ways alike", () => {
    const sizes = bucketSizes({ resolution: 512, multipleOf: 64, maxAspect: 2 });
    expect(nearestSize(sizes, 3000, 2000)).toEqual([640, 384]);
    expect(nearestSize(sizes, 2000, 3000)).toEqual([384, 640]);
    expect(nearestSize(sizes, 11, 10)).toEqual([512, 512]);
    expect(nearestSize(sizes, 5, 4)).toEqual([576, 448]);
    expect(nearestSize(sizes, 1, 99)).toEqual([384, 640]);
  });
});

describe("groupBySize", () => {
  const sizes = bucketSizes({ resolution: 512, multipleOf: 64, maxAspect: 2 });

  it("joins small buckets to the nearest shape, and keeps everyone", () => {
    const pictures = [
      ...Array.from({ length: 9 }, () => [512, 512] as const),
      ...Array.from({ length: 2 }, () => [576, 448] as const),
      ...Array.from({ length: 1 }, () => [640, 384] as const),
      ...Array.from({ length: 4 }, () => [384, 640] as const),
    ];
    const groups = groupBySize(pictures, sizes, 3);
    expect(groups.map((g) => [g.size.join("x"), g.members])).toEqual([
      ["384x640", [12, 13, 14, 15]],
      ["512x512", [0, 1, 2, 3, 4, 5, 6, 7, 8]],
      ["576x448", [9, 10, 11]],
    ]);
  });

  it("has one bucket when there is less than a batch", () => {
    const groups = groupBySize(
      [
        [1, 1],
        [1, 2],
        [2, 1],
      ],
      sizes,
      100,
    );
    expect(groups).toHaveLength(1);
    expect(groups[0]!.members).toEqual([0, 1, 2]);
  });
});

describe("shuffledOrder", () => {
  const seenIn = (counts: readonly number[], batchSize: number, epoch: number): string[] => {
    const order = shuffledOrder(counts, batchSize, 11);
    return Array.from({ length: order.stepsPerEpoch }, (_, i) => {
      const pick = order.at(epoch * order.stepsPerEpoch + i);
      expect(pick.epoch).toBe(epoch);
      expect(pick.places).toHaveLength(batchSize);
      return pick.places.map((place) => `${pick.bucket}:${pick.order[place]}`);
    }).flat();
  };
  const everyone = (counts: readonly number[]): string[] =>
    counts.flatMap((count, b) => Array.from({ length: count }, (_, i) => `${b}:${i}`)).sort();

  it("shows each example exactly once an epoch where batches come out even", () => {
    for (const epoch of [0, 1, 7]) {
      expect(seenIn([12, 4, 20], 4, epoch).sort()).toEqual(everyone([12, 4, 20]));
    }
  });

  it("fills last batches from the start of their bucket: at most twice, and none left out", () => {
    const seen = seenIn([13, 5], 4, 2);
    expect(seen).toHaveLength(16 + 8);
    expect([...new Set(seen)].sort()).toEqual(everyone([13, 5]));
  });

  it("repeats a bucket that is smaller than a batch", () => {
    expect(seenIn([2], 5, 0).sort().slice(1, 4)).toContain("0:0");
    expect(new Set(seenIn([2], 5, 0)).size).toBe(2);
  });

  it("a step is the same wherever one begins, and epochs and seeds differ", () => {
    const all = Array.from({ length: 40 }, (_, i) => i);
    const look = (steps: readonly number[], seed: number): string[] => {
      const order = shuffledOrder([30, 11], 4, seed);
      return steps.map((step) => {
        const { bucket, order: shuffled, places } = order.at(step);
        return `${bucket}: ${places.map((p) => shuffled[p])}`;
      });
    };
    const forward = look(all, 1);
    expect(look(all.toReversed(), 1).reverse()).toEqual(forward);
    expect(look([33], 1)).toEqual([forward[33]]);
    expect(look(all, 2)).not.toEqual(forward);
    const { stepsPerEpoch } = shuffledOrder([30, 11], 4, 1);
    expect(forward.slice(0, stepsPerEpoch)).not.toEqual(
      forward.slice(stepsPerEpoch, 2 * stepsPerEpoch),
    );
  });
});

describe("prefetch", () => {
  it("makes the next steps ahead, each once, and no more", async () => {
    const made: number[] = [];
    const values = prefetch((step) => {
      made.push(step);
      return Promise.resolve(step * 10);
    }, 2);
    expect(await values.at(0)).toBe(0);
    expect(made).toEqual([0, 1, 2]);
    expect(await values.at(1)).toBe(10);
    expect(await values.at(2)).toBe(20);
    expect(made).toEqual([0, 1, 2, 3, 4]);
  });

  it("a jump is right, and a failure is told for its own step alone", async () => {
    const values = prefetch(
      (step) => (step === 8 ? Promise.reject(new Error("eight")) : Promise.resolve(step)),
      3,
    );
    expect(await values.at(100)).toBe(100);
    expect(await values.at(6)).toBe(6);
    expect(await values.at(7)).toBe(7);
    await expect(values.at(8)).rejects.toThrow("eight");
    expect(await values.at(9)).toBe(9);
  });
});
