import { expect, test } from "vitest";
import { barChart, chartSheet, lineChart } from "./chart.js";
import { fitPowers } from "./fit.js";

const numbers = (text: string, pattern: RegExp): number[] =>
  [...text.matchAll(pattern)].map(([, value]) => Number(value));

test("points lie on the axes' scales", () => {
  const points = [
    [0, 0],
    [512, 4],
    [1024, 16],
  ] as const;
  const { body } = lineChart({
    title: "Step",
    x: "pixels",
    y: "s",
    lines: [{ name: "a", points }],
  });
  const [x0, x1, x2] = numbers(body, /circle cx="([\d.]+)"/g);
  const [y0, y1, y2] = numbers(body, /circle cx="[\d.]+" cy="([\d.]+)"/g);
  expect(x2! - x0!).toBeCloseTo(2 * (x1! - x0!), 0);
  expect(y0! - y2!).toBeCloseTo(4 * (y0! - y1!), 0);
  expect(body).toContain(">Step, s<");
  expect(body).toContain(">20<"); // the top of the vertical axis
});

test("a fit is drawn as a curve through the range of its points", () => {
  const points = [1, 2, 3, 4].map((x) => [x, x * x] as const);
  const fit = fitPowers(points, [0, 1, 2]);
  const { body } = lineChart({ title: "t", x: "x", y: "s", lines: [{ name: "a", points, fit }] });
  const path = /polyline points="([^"]+)"/.exec(body)![1]!.split(" ");
  expect(path).toHaveLength(41);
  const [first] = numbers(body, /circle cx="([\d.]+)"/g);
  expect(path[0]!.startsWith(`${first},`)).toBe(true);
});

test("bars are as long as their values, with quartiles", () => {
  const { body, height } = barChart({
    title: "step",
    unit: "s",
    bars: [
      { name: "tintype", value: 2, range: [1.8, 2.4] },
      { name: "a < b & c", value: 4 },
    ],
  });
  const [a, b] = numbers(body, /<rect [^>]*width="([\d.]+)"/g);
  expect(b! / a!).toBeCloseTo(2, 1);
  const [low] = numbers(body, /<line x1="([\d.]+)"/g);
  const [high] = numbers(body, /<line x1="[\d.]+" x2="([\d.]+)"/g);
  expect((high! - 110) / (low! - 110)).toBeCloseTo(2.4 / 1.8, 1);
  expect(body).toContain("a &lt; b &amp; c");
  expect(height).toBeGreaterThan(2 * 18);
});

test("panels stand in rows below a title", () => {
  const panel = { height: 100, body: "<text>p</text>" };
  const svg = chartSheet([panel, panel, panel], { columns: 2, title: "All", note: "On a machine" });
  expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" width="680" height="260"/);
  expect([...svg.matchAll(/translate\((\d+) (\d+)\)/g)].map((m) => m.slice(1))).toEqual([
    ["0", "34"],
    ["340", "34"],
    ["0", "134"],
  ]);
  expect(svg).toContain(">All<");
  expect(svg).toContain(">On a machine<");
});

test("nothing measured is an empty chart, not a broken one", () => {
  const { body } = lineChart({ title: "t", x: "x", y: "s", lines: [] });
  expect(body).not.toContain("NaN");
  expect(barChart({ title: "t", unit: "s", bars: [] }).body).not.toContain("NaN");
});
