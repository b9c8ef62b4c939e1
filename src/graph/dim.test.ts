import fc from "fast-check";
import { expect, test } from "vitest";
import {
  addDims,
  bindShape,
  dimProduct,
  evaluateDim,
  exactDivDim,
  floorDivDim,
  mulDims,
  sameDim,
  showShape,
  symbol,
  symbolsOf,
} from "./dim.js";

const h = symbol("h");
const w = symbol("w");

test("equal expressions have equal keys, whatever order built them", () => {
  expect(sameDim(mulDims(h, w), mulDims(w, h))).toBe(true);
  expect(sameDim(addDims(mulDims(2, h), 1), addDims(1, addDims(h, h)))).toBe(true);
  expect(showShape([2, addDims(mulDims(h, w), 3)])).toBe("[2, h*w + 3]");
});

test("a strided convolution over a known multiple stays exact", () => {
  const pixels = mulDims(8, h);
  expect(addDims(floorDivDim(addDims(pixels, -2), 2), 1)).toEqual(mulDims(4, h));
});

test("floors of unknown parity agree with arithmetic", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 1, max: 7 }), (n, by) => {
      const half = floorDivDim(addDims(mulDims(3, h), 1), by);
      expect(evaluateDim(half, { h: n })).toBe(Math.floor((3 * n + 1) / by));
      const quarter = floorDivDim(addDims(half, 1), 2);
      expect(evaluateDim(quarter, { h: n })).toBe(
        Math.floor((Math.floor((3 * n + 1) / by) + 1) / 2),
      );
    }),
  );
});

test("exact division gives back a factor, or says it is none", () => {
  const all = dimProduct([2, h, w, 40]);
  expect(exactDivDim(all, mulDims(h, 8))).toEqual(mulDims(10, w));
  expect(exactDivDim(all, 3)).toBeUndefined();
  expect(exactDivDim(addDims(h, 1), addDims(h, 1))).toBe(1);
});

test("binding takes the symbols from actual sizes and refuses what does not fit", () => {
  const bound: Record<string, number> = {};
  expect(bindShape([symbol("b"), 3, mulDims(8, h), mulDims(8, w)], [2, 3, 64, 96], bound)).toBe(
    true,
  );
  expect(bound).toEqual({ b: 2, h: 8, w: 12 });
  expect(bindShape([h], [9], bound)).toBe(false);
  expect(bindShape([mulDims(8, symbol("v"))], [9], {})).toBe(false);
  expect(symbolsOf(floorDivDim(addDims(h, w), 2))).toEqual(["h", "w"]);
});
