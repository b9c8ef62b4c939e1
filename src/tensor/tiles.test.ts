import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Tensor, tensor, zeros } from "./tensor.js";
import { addTile, crop, featherWeights, scaleGrid, tileGrid, tileStarts } from "./tiles.js";

/** A side, tiles on it, and how far their weights keep off the edges. */
const sides = fc
  .record({
    size: fc.integer({ min: 1, max: 300 }),
    tile: fc.integer({ min: 1, max: 90 }),
    part: fc.double({ min: 0, max: 0.999, noNaN: true }),
    margin: fc.integer({ min: 0, max: 40 }),
  })
  .map(({ part, ...side }) => ({ ...side, overlap: Math.floor(part * side.tile) }));

describe("tiles of a side", () => {
  test("are of one size, overlap as asked, cover it, and none is left out", () => {
    fc.assert(
      fc.property(sides, ({ size, tile, overlap }) => {
        const starts = tileStarts(size, tile, overlap);
        expect(starts[0]).toBe(0);
        expect(starts.at(-1)! + Math.min(tile, size)).toBe(size);
        for (let i = 1; i < starts.length; i++) {
          expect(starts[i]!).toBeGreaterThan(starts[i - 1]!);
          expect(starts[i - 1]! + tile - starts[i]!).toBeGreaterThanOrEqual(overlap);
        }
        const stride = tile - overlap;
        expect(starts.length).toBe(1 + Math.max(0, Math.ceil((size - tile) / stride)));
      }),
    );
  });

  test("are spread evenly, the last one moved inward", () => {
    expect(tileStarts(100, 40, 10)).toEqual([0, 30, 60]);
    expect(tileStarts(96, 40, 10)).toEqual([0, 28, 56]);
    expect(tileStarts(101, 40, 10)).toEqual([0, 20, 40, 61]);
    expect(tileStarts(40, 40, 10)).toEqual([0]);
    expect(tileStarts(7, 40, 10)).toEqual([0]);
    expect(() => tileStarts(100, 40, 40)).toThrow(/overlap/);
  });
});

describe("weights of tiles", () => {
  test("sum to one everywhere, for any sizes", () => {
    fc.assert(
      fc.property(sides, ({ size, tile, overlap, margin }) => {
        const starts = tileStarts(size, tile, overlap);
        const weights = featherWeights(starts, Math.min(tile, size), margin);
        const sums = new Float64Array(size);
        for (const [i, w] of weights.entries()) {
          expect(Math.min(...w)).toBeGreaterThanOrEqual(0);
          for (const [d, v] of w.entries()) sums[starts[i]! + d]! += v;
        }
        expect(Math.max(...sums.map((sum) => Math.abs(sum - 1)))).toBeLessThan(1e-12);
      }),
    );
  });

  test("fade in over the overlap, off the outermost places", () => {
    const [first, second] = featherWeights([0, 6], 12, 2);
    const fade = [0, 0, 0.15625, 0.84375, 1, 1]; // t = 1/4 and 3/4 of 3 t^2 - 2 t^3
    expect([...second!]).toEqual([...fade, 1, 1, 1, 1, 1, 1]);
    expect([...first!]).toEqual([1, 1, 1, 1, 1, 1, ...fade.toReversed()]);
  });

  test("step where tiles do not overlap, and keep a fade where the margin has no room", () => {
    expect(featherWeights([0, 4], 4, 2).map((w) => [...w])).toEqual([
      [1, 1, 1, 1],
      [1, 1, 1, 1],
    ]);
    const [, second] = featherWeights([0, 4], 8, 100);
    expect([...second!.slice(0, 4)]).toEqual([0, 0.15625, 0.84375, 1]);
  });
});

/** Numbers that tell their place. */
const counted = (shape: readonly number[]): Tensor => {
  const out = zeros(shape);
  for (let i = 0; i < out.data.length; i++) out.data[i] = i;
  return out;
};

describe("pieces of a picture", () => {
  test("are cut out of every plane", () => {
    const x = counted([2, 2, 3, 4]);
    const piece = crop(x, { top: 1, left: 2, height: 2, width: 2 });
    expect(piece.shape).toEqual([2, 2, 2, 2]);
    const plane = [6, 7, 10, 11];
    expect([...piece.data]).toEqual([0, 12, 24, 36].flatMap((at) => plane.map((v) => v + at)));
  });

  test("go on beyond the edges as they end there", () => {
    const x = tensor([1, 1, 2, 2], Float32Array.of(1, 2, 3, 4));
    const piece = crop(x, { top: -1, left: -1, height: 4, width: 4 });
    expect([...piece.data]).toEqual([1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4]);
  });

  test("put together again are the picture, at its size or enlarged", () => {
    const side = fc.integer({ min: 1, max: 40 });
    const tiles = {
      tile: fc.integer({ min: 2, max: 24 }),
      overlap: fc.integer({ min: 0, max: 8 }),
    };
    fc.assert(
      fc.property(fc.record({ h: side, w: side, ...tiles, factor: fc.constantFrom(1, 3) }), (c) => {
        const x = counted([1, 2, c.h * c.factor, c.w * c.factor]);
        const grid = tileGrid(c.h, c.w, c.tile, Math.min(c.overlap, c.tile - 1));
        const { tops, lefts, height, width } = scaleGrid(grid, c.factor);
        const rows = featherWeights(tops, height, 2);
        const columns = featherWeights(lefts, width, 2);
        const whole = zeros(x.shape);
        for (const [i, top] of tops.entries()) {
          for (const [j, left] of lefts.entries()) {
            const piece = crop(x, { top, left, height, width });
            addTile(whole, piece, { top, left }, { rows: rows[i]!, columns: columns[j]! });
          }
        }
        const off = whole.data.map((v, i) => Math.abs(v - x.data[i]!) / Math.max(1, x.data[i]!));
        expect(off.reduce((most, v) => Math.max(most, v), 0)).toBeLessThan(1e-5);
      }),
      { numRuns: 50 },
    );
  });
});
