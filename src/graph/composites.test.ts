import { describe, expect, test } from "vitest";
import * as composite from "./composites.js";
import { symbol } from "./dim.js";
import { type Array64, evaluate } from "./evaluate.js";
import * as op from "./ops.js";
import { isOp, type Value } from "./value.js";

/*
 * Each composition against a formula that is written another way, in float64.
 */

/** Numbers in [-2, 2) that look random and are the same everywhere. */
function drawn(shape: readonly number[], seed: number): Array64 {
  let state = seed * 7919 + 1;
  const size = shape.reduce((n, d) => n * d, 1);
  const data = Float64Array.from({ length: size }, () => {
    state = (state * 48271) % 2147483647;
    return (4 * state) / 2147483647 - 2;
  });
  return { shape, data };
}

function result(f: (...xs: Value[]) => Value, ...fed: readonly Array64[]): Float64Array {
  const inputs = Object.fromEntries(fed.map((a, i) => [`x${i}`, a]));
  const values = fed.map((a, i) => op.input(`x${i}`, a.shape));
  const params = (): never => expect.unreachable();
  return evaluate([f(...values)], { inputs, params })[0]!.data;
}

function expectClose(got: ArrayLike<number>, want: ArrayLike<number>): void {
  expect(got.length).toBe(want.length);
  for (let i = 0; i < want.length; i++) expect(got[i]).toBeCloseTo(want[i]!, 12);
}

const mean = (xs: readonly number[]): number => xs.reduce((a, x) => a + x, 0) / xs.length;
/** By differences of pairs: no mean needed. */
function variance(xs: readonly number[]): number {
  let total = 0;
  for (const x of xs) for (const y of xs) total += (x - y) ** 2;
  return total / (2 * xs.length ** 2);
}

test("softmax is 1 over the sum of exp(y - x), however large the numbers", () => {
  const x = drawn([3, 4], 1);
  x.data[5] = 900;
  const want = [...x.data].map((v, at) => {
    const row = [...x.data.slice(4 * Math.floor(at / 4), 4 * Math.floor(at / 4) + 4)];
    return 1 / row.reduce((n, y) => n + Math.exp(y - v), 0);
  });
  expectClose(result(composite.softmax, x), want);
});

test("silu and quickGelu are x over 1 + exp(-kx), gelu is x times the normal distribution", () => {
  const x = drawn([20], 2);
  const sigmoid = (k: number) => [...x.data].map((v) => v / (1 + Math.exp(-k * v)));
  expectClose(result(composite.silu, x), sigmoid(1));
  expectClose(result(composite.quickGelu, x), sigmoid(1.702));
  // Simpson's rule over the density.
  const normal = (v: number): number => {
    const n = 2000;
    const step = v / n;
    let total = 0;
    for (let i = 0; i <= n; i++) {
      const weight = i === 0 || i === n ? 1 : i % 2 === 1 ? 4 : 2;
      total += weight * Math.exp(-0.5 * (i * step) ** 2);
    }
    return 0.5 + (step / 3 / Math.sqrt(2 * Math.PI)) * total;
  };
  expectClose(
    result(composite.gelu, x),
    [...x.data].map((v) => v * normal(v)),
  );
});

test("linear is a sum over inputs, with and without bias", () => {
  const [x, weight, bias] = [drawn([2, 3, 4], 3), drawn([5, 4], 4), drawn([5], 5)];
  const want = (c: number): number[] =>
    Array.from({ length: 30 }, (_, at) => {
      const [row, o] = [Math.floor(at / 5), at % 5];
      let y = c * bias.data[o]!;
      for (let i = 0; i < 4; i++) y += x.data[row * 4 + i]! * weight.data[o * 4 + i]!;
      return y;
    });
  expectClose(
    result((v, w, c) => composite.linear(v, w, c), x, weight, bias),
    want(1),
  );
  expectClose(
    result((v, w) => composite.linear(v, w), x, weight),
    want(0),
  );
});

test("layerNorm has each row's own mean and deviation", () => {
  const [x, weight, bias] = [drawn([3, 6], 6), drawn([6], 7), drawn([6], 8)];
  const want = [...x.data].map((v, at) => {
    const row = [...x.data.slice(6 * Math.floor(at / 6), 6 * Math.floor(at / 6) + 6)];
    const normal = (v - mean(row)) / Math.sqrt(variance(row) + 0.01);
    return normal * weight.data[at % 6]! + bias.data[at % 6]!;
  });
  expectClose(
    result((v, w, c) => composite.layerNorm(v, w, c, 0.01), x, weight, bias),
    want,
  );
});

describe("groupNorm has each group's own mean and deviation", () => {
  const [x, weight, bias] = [drawn([2, 6, 2, 3], 9), drawn([6], 10), drawn([6], 11)];
  const want = [...x.data].map((v, at) => {
    const group = Math.floor(at / 12); // 2 channels of 6 pixels
    const members = [...x.data.slice(12 * group, 12 * group + 12)];
    const channel = Math.floor(at / 6) % 6;
    const normal = (v - mean(members)) / Math.sqrt(variance(members) + 0.01);
    return normal * weight.data[channel]! + bias.data[channel]!;
  });
  const norm = (v: Value, w: Value, c: Value) =>
    composite.groupNorm(v, w, c, { groups: 3, eps: 0.01 });

  test("of known sizes", () => expectClose(result(norm, x, weight, bias), want));

  test("of sizes that are bound when it is run", () => {
    const v = op.input("x", [symbol("b"), 6, symbol("h"), symbol("w")]);
    const y = norm(v, op.param("weight", [6]), op.param("bias", [6]));
    const params = (name: string) => (name === "weight" ? weight : bias);
    expectClose(evaluate([y], { inputs: { x }, params })[0]!.data, want);
  });
});

describe("attention mixes values by head", () => {
  const [q, k, v] = [drawn([2, 3, 4], 12), drawn([2, 5, 4], 13), drawn([2, 5, 4], 14)];

  /** One output number at a time. */
  function want(m: number, causal: boolean, keys: Array64, values: Array64): number[] {
    return Array.from({ length: 24 }, (_, at) => {
      const [b, n, c] = [Math.floor(at / 12), Math.floor(at / 4) % 3, at % 4];
      const head = Math.floor(c / 2);
      let [top, bottom] = [0, 0];
      for (let j = 0; j < m; j++) {
        if (causal && j > n) continue;
        let score = 0;
        for (const i of [2 * head, 2 * head + 1]) {
          score += q.data[(b * 3 + n) * 4 + i]! * keys.data[(b * m + j) * 4 + i]!;
        }
        const weight = Math.exp(0.7 * score);
        top += weight * values.data[(b * m + j) * 4 + c]!;
        bottom += weight;
      }
      return top / bottom;
    });
  }

  test("over a context of another length", () => {
    const spec = { heads: 2, scale: 0.7, causal: false };
    const mix = (x: Value, y: Value, z: Value) => composite.attention(x, y, z, spec);
    expectClose(result(mix, q, k, v), want(5, false, k, v));
  });

  test("causally, where each token sees itself and the ones before", () => {
    const spec = { heads: 2, scale: 0.7, causal: true };
    const [keys, values] = [drawn([2, 3, 4], 15), drawn([2, 3, 4], 16)];
    const mix = (x: Value, y: Value, z: Value) => composite.attention(x, y, z, spec);
    expectClose(result(mix, q, keys, values), want(3, true, keys, values));
  });
});

test("each is recorded by name with its settings, inputs and definition", () => {
  const x = op.input("x", [2, 4]);
  const y = composite.layerNorm(x, op.param("w", [4]), op.param("b", [4]), 1e-6);
  expect(isOp(y, "composite") && y.attrs.name).toBe("layerNorm");
  expect(isOp(y, "composite") && y.attrs.spec).toEqual({ eps: 1e-6 });
  expect(y.inputs.map((v) => v.op)).toEqual(["input", "param", "param"]);
  expect(y.shape).toEqual([2, 4]);
});
