import { describe, expect, test } from "vitest";
import { symbol } from "../graph/dim.js";
import { type Array64, evaluate } from "../graph/evaluate.js";
import * as op from "../graph/ops.js";
import type { Value } from "../graph/value.js";
import { conv2d, denseParams, groupNorm } from "./layers.js";
import type { Params } from "./params.js";
import { measuringStatistics, withFedStatistics } from "./statistics.js";

const [b, h, w] = [symbol("b"), symbol("h"), symbol("w")];
const GROUPS = 2;
const EPS = 1e-3;

/** Two norms with a convolution between: the second sees what the first made. */
const network = (p: Params, x: Value): Value => {
  const first = groupNorm(p.at("a"), x, GROUPS, EPS);
  return groupNorm(p.at("b"), conv2d(p.at("conv"), first, 6, 1), GROUPS, EPS);
};

const some = (shape: readonly number[], seed: number): Array64 => ({
  shape,
  data: Float64Array.from(
    { length: shape.reduce((n, d) => n * d, 1) },
    (_, i) => Math.sin(1 + i * seed) + (i % 7) * 0.1,
  ),
});
const params = (name: string): Array64 => {
  const shapes: Record<string, number[]> = { "conv.weight": [6, 4, 1, 1], "conv.bias": [6] };
  const shape = shapes[name] ?? [name.startsWith("a") ? 4 : 6];
  return some(shape, name.length * 0.37);
};
const close = (got: ArrayLike<number>, want: ArrayLike<number>): void => {
  expect(got.length).toBe(want.length);
  for (let i = 0; i < want.length; i++) expect(got[i]).toBeCloseTo(want[i]!, 9);
};

/** What the norms measure on patches [count,4,side,side]. */
function measured(patches: Array64, shares: readonly number[], margin: number) {
  const [count, , side] = patches.shape as [number, number, number];
  const x = op.input("x", [b, 4, side, side]);
  const fed = op.input("shares", [b]);
  const { p, statistics } = measuringStatistics(denseParams(), { side, margin }, fed);
  const y = network(p, x);
  const inputs = { x: patches, shares: { shape: [count], data: Float64Array.from(shares) } };
  const [out, ...values] = evaluate([y, ...statistics.values()], { inputs, params });
  return { out: out!, statistics: new Map([...statistics.keys()].map((k, i) => [k, values[i]!])) };
}

describe("group norms with statistics from elsewhere", () => {
  const whole = some([1, 4, 6, 6], 0.73);
  const plain = evaluate([network(denseParams(), op.input("x", [b, 4, h, w]))], {
    inputs: { x: whole },
    params,
  })[0]!;

  test("measure what a picture's own are, and answer as they do", () => {
    const { out, statistics } = measured(whole, [1], 0);
    close(out.data, plain.data);
    const first = statistics.get("a")!;
    expect(first.shape).toEqual([2, GROUPS]);
    const half = whole.data.subarray(0, 72);
    const mean = half.reduce((n, v) => n + v, 0) / 72;
    expect(first.data[0]).toBeCloseTo(mean, 12);
    expect(first.data[2]).toBeCloseTo(half.reduce((n, v) => n + (v - mean) ** 2, 0) / 72, 12);
  });

  test("are fed them by path, and answer for a part as for the whole", () => {
    const { statistics } = measured(whole, [1], 0);
    const y = network(withFedStatistics(denseParams()), op.input("x", [b, 4, h, w]));
    const rows = (data: Float64Array, planes: number): number[] =>
      Array.from({ length: planes }, (_, c) => [...data.slice(c * 36 + 12, c * 36 + 24)]).flat();
    const part = { shape: [1, 4, 2, 6], data: Float64Array.from(rows(whole.data, 4)) };
    const inputs = { x: part, ...Object.fromEntries(statistics) };
    close(evaluate([y], { inputs, params })[0]!.data, rows(plain.data, 6));
  });

  test("count each patch by its share, and nothing of its margin", () => {
    const patches = some([2, 4, 6, 6], 0.31);
    const before = measured(patches, [0.25, 0.75], 2).statistics.get("a")!;
    const data = patches.data.map((v, i) => {
      const [y, x] = [Math.floor(i / 6) % 6, i % 6];
      return y >= 2 && y < 4 && x >= 2 && x < 4 ? v : 1e3 * v;
    });
    close(measured({ ...patches, data }, [0.25, 0.75], 2).statistics.get("a")!.data, before.data);
    const centre = (k: number): number[] =>
      [...patches.data].filter((_, i) => {
        const [c, y, x] = [Math.floor(i / 36), Math.floor(i / 6) % 6, i % 6];
        return (c === 4 * k || c === 4 * k + 1) && y >= 2 && y < 4 && x >= 2 && x < 4;
      });
    const means = [0, 1].map((k) => centre(k).reduce((n, v) => n + v, 0) / 8);
    expect(before.data[0]).toBeCloseTo(0.25 * means[0]! + 0.75 * means[1]!, 12);
  });
});
