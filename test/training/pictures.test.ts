import { expect, test } from "vitest";
import { type Picture, picture } from "../../src/image/picture.js";
import { canvasContext } from "../../src/platform/node/canvas.js";
import { sampleGrid } from "../../src/training/run/grid.js";
import { plotSeries } from "../../src/training/run/plot.js";

const square = (side: number, [r, g, b]: readonly [number, number, number]): Picture =>
  picture(
    side,
    side,
    Uint8Array.from({ length: side * side * 3 }, (_, i) => [r, g, b][i % 3]!),
  );

const at = ({ width, data }: Picture, x: number, y: number): number[] => [
  ...data.subarray(3 * (y * width + x), 3 * (y * width + x) + 3),
];

const isInk = ([r, g, b]: readonly number[]): boolean => r! + g! + b! < 384;

/** Whether anything dark is drawn in a rectangle. */
function hasInk(drawn: Picture, x0: number, y0: number, x1: number, y1: number): boolean {
  for (let y = y0; y < y1; y++)
    for (let x = x0; x < x1; x++) if (isInk(at(drawn, x, y))) return true;
  return false;
}

test("a grid shows each picture, untouched, with its caption below", () => {
  const colours = [
    [250, 0, 0],
    [0, 250, 0],
    [0, 0, 250],
    [250, 250, 0],
  ] as const;
  const samples = colours.map((colour) => ({ caption: "a square", picture: square(128, colour) }));
  const grid = sampleGrid(samples, canvasContext);
  for (const [i, colour] of colours.entries()) {
    const [x, y] = [12 + 140 * (i % 2), 12 + Math.floor(i / 2) * (128 + 12 + 16 + 6)];
    expect([at(grid, x, y), at(grid, x + 127, y + 127)]).toEqual([[...colour], [...colour]]);
    expect(at(grid, x - 1, y)).toEqual([255, 255, 255]);
    expect(hasInk(grid, x, y + 130, x + 60, y + 150)).toBe(true);
  }
});

test("small pictures are shown larger, their pixels as squares", () => {
  const grid = sampleGrid([{ caption: "", picture: square(32, [9, 90, 200]) }], canvasContext);
  expect([grid.width, grid.height]).toEqual([128 + 24, 128 + 24]);
  expect(at(grid, 139, 139)).toEqual([9, 90, 200]);
});

test("a long caption stays below its picture", () => {
  const caption = "a red house left of two pine trees ".repeat(9);
  const samples = [caption, "short"].map((c) => ({
    caption: c,
    picture: square(128, [255, 255, 255]),
  }));
  const grid = sampleGrid(samples, canvasContext);
  expect(hasInk(grid, 12, 140, 140, grid.height)).toBe(true);
  expect(hasInk(grid, 141, 140, 152, grid.height)).toBe(false);
  expect(grid.height).toBe(12 + 128 + 6 + 3 * 16 + 12);
});

/** Rows at which the curve is drawn in one column. */
const curveAt = (plot: Picture, x: number): number[] =>
  Array.from({ length: plot.height }, (_, y) => y).filter((y) => {
    const [r, , b] = at(plot, x, y);
    return b! - r! > 100;
  });

test("a falling loss is drawn falling, between labelled axes", () => {
  const steps = Array.from({ length: 500 }, (_, i) => i + 1);
  const values = steps.map((step) => Math.exp(-step / 100) + 0.01 * Math.sin(step));
  const plot = plotSeries("loss", { steps, values }, canvasContext);
  const middle = (rows: readonly number[]): number => rows[rows.length >> 1]!;
  const heights = [100, 300, 500, 700].map((x) => middle(curveAt(plot, x)));
  expect(heights).toEqual(heights.toSorted((a, b) => a - b));
  expect(hasInk(plot, 20, 44, 74, 430)).toBe(true); // values
  expect(hasInk(plot, 80, 434, 780, 452)).toBe(true); // steps
  expect(hasInk(plot, 80, 10, 200, 36)).toBe(true); // its name
});

test.each<[string, readonly number[]]>([
  ["one step", [0.5]],
  ["a level line", [2, 2, 2, 2]],
  ["zeros", [0, 0, 0]],
  ["negative values", [-3, -1, -2]],
  ["values of many magnitudes", [1e6, 1, 1e-3, 1e-5]],
  ["gaps", [1, Number.NaN, 2, Number.POSITIVE_INFINITY, 3]],
])("%s can be drawn", (_, values) => {
  const plot = plotSeries(
    "x",
    { steps: values.map((_, i) => i + 1), values: [...values] },
    canvasContext,
  );
  const drawn = Array.from({ length: 700 }, (_, i) => curveAt(plot, 80 + i).length);
  expect(Math.max(...drawn)).toBeGreaterThan(0);
});
