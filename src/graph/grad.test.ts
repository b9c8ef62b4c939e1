import { describe, expect, test } from "vitest";
import { productsAndSums, residualSums } from "./checkpoints.js";
import { attention, groupNorm, linear, silu, softmax } from "./composites.js";
import { evaluate } from "./evaluate.js";
import { grad } from "./grad.js";
import { graphOf } from "./graph.js";
import { deepestFirst, peakActivationBytes } from "./liveness.js";
import * as op from "./ops.js";
import { isOp, topological, type Value } from "./value.js";

const x = op.input("x", [3]);
const total = (v: Value): Value => op.reshape(op.sum(v, [0]), []);
const numbers = (...values: readonly Value[]): number[][] =>
  evaluate(values, {
    inputs: { x: { shape: [3], data: Float64Array.of(1, 2, 3) } },
    params: () => expect.unreachable(),
  }).map(({ data }) => [...data]);

test("what is used twice gets both gradients", () => {
  const square = op.mul(x, x);
  expect(numbers(...grad(total(op.add(square, op.mul(3, x))), [x]))).toEqual([[5, 7, 9]]);
  expect(numbers(...grad(total(op.mul(square, square)), [square, x]))).toEqual([
    [2, 8, 18],
    [4, 32, 108],
  ]);
});

test("each value is visited once, however many ways lead to it", () => {
  let y = op.exp(x);
  for (let i = 0; i < 200; i++) y = op.mul(0.5, op.add(y, y)); // 2^200 ways
  const [dx] = grad(total(y), [x]);
  expect(topological([dx!]).length).toBeLessThan(2000);
  expect(numbers(dx!)[0]![2]).toBeCloseTo(Math.exp(3), 12);
});

test("what the loss does not depend on gets zeros", () => {
  const other = op.input("y", [2, 2]);
  expect(numbers(...grad(total(x), [other, x]))).toEqual([
    [0, 0, 0, 0],
    [1, 1, 1],
  ]);
});

test("no gradient passes detach, indices or conditions", () => {
  expect(numbers(...grad(total(op.mul(x, op.detach(x))), [x]))).toEqual([[1, 2, 3]]);
  expect(numbers(...grad(total(op.where(op.less(x, 2), x, 7)), [x]))).toEqual([[1, 0, 0]]);
});

test("the gradient by the loss itself is 1", () => {
  const loss = total(x);
  expect(numbers(...grad(loss, [loss]))).toEqual([[1]]);
});

test("a loss is a float of one element", () => {
  const message = "grad: expected a loss of one number, got";
  expect(() => grad(x, [x])).toThrow(`${message} float [3]`);
  expect(() => grad(op.less(total(x), 1), [x])).toThrow(`${message} bool []`);
  expect(numbers(...grad(op.reshape(total(x), [1, 1]), [x]))).toEqual([[1, 1, 1]]);
});

test("slices that tile an axis are joined, not padded and added", () => {
  const both = op.mul(2, x);
  const [first, rest] = [op.slice(both, 0, 0, 1), op.slice(both, 0, 1, 2)];
  const [tiled] = grad(total(op.mul(first, rest)), [x]);
  expect(topological([tiled!]).some((v) => isOp(v, "pad"))).toBe(false);
  expect(numbers(tiled!)).toEqual([[20, 4, 4]]);
  const [gapped] = grad(total(op.mul(first, op.slice(both, 0, 2, 1))), [x]);
  expect(numbers(gapped!)).toEqual([[12, 0, 4]]);
});

test("a linear layer's gradients are plain products of matrices", () => {
  const [weight, bias] = [op.param("w", [4, 3]), op.param("b", [4])];
  const tokens = op.input("t", [2, 5, 3]);
  const y = linear(tokens, weight, bias);
  const loss = op.sum(op.mul(y, y), [0, 1, 2]);
  const [dx, dw, db] = grad(loss, [tokens, weight, bias]);
  expect([dx, dw, db].map((v) => v!.shape)).toEqual([[2, 5, 3], [4, 3], [4]]);
  for (const v of topological([dx!, dw!])) {
    if (isOp(v, "matmul")) expect(v.inputs.map((a) => a.shape.length)).toEqual([2, 2]);
  }
  expect(isOp(dw!, "matmul") && dw.attrs).toEqual({ transA: true, transB: false });
});

describe("recomputation", () => {
  /** A residual network: norms, activations, convolutions; attention at the end. */
  const blocks = 12;
  const picture = op.input("picture", [2, 4, 4, 4]);
  const weights = Array.from({ length: blocks }, (_, i) => op.param(`w${i}`, [4, 4, 3, 3]));
  const scale = op.param("scale", [4]);
  const sums: Value[] = [];
  let h: Value = picture;
  for (const weight of weights) {
    const normal = silu(groupNorm(h, scale, scale, { groups: 2, eps: 1e-3 }));
    h = op.add(h, op.conv2d(normal, weight, undefined, { padding: 1 }));
    sums.push(h);
  }
  const tokens = op.transpose(op.reshape(h, [2, 4, 16]), [0, 2, 1]);
  const mixed = attention(tokens, tokens, tokens, { heads: 2, scale: 0.5, causal: false });
  const loss = op.reshape(op.sum(op.exp(softmax(mixed)), [0, 1, 2]), []);
  const wrt = [...weights, scale, picture];
  const drawn = (shape: readonly number[], seed: number) => ({
    shape,
    data: Float64Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) =>
      Math.sin(seed + 1.7 * i),
    ),
  });
  const all = (values: readonly Value[]): number[] =>
    evaluate(values, {
      inputs: { picture: drawn([2, 4, 4, 4], 1) },
      params: (name) =>
        drawn(name === "scale" ? [4] : [4, 4, 3, 3], name.length + name.charCodeAt(1)),
    }).flatMap(({ data }) => [...data]);
  const peak = (gradients: readonly Value[]): number => {
    const named = new Map(
      gradients.map((g, i) => [
        `${i}`,
        op.sum(
          g,
          g.shape.map((_, k) => k),
        ),
      ]),
    );
    return peakActivationBytes(graphOf(Object.fromEntries(deepestFirst(named))), {});
  };
  const want = grad(loss, wrt);

  test.each([
    ["residual sums", residualSums(loss)],
    ["products and sums", productsAndSums(loss)],
    ["nothing", new Set<Value>()],
    ["everything", new Set(topological([loss]))],
    ["the attention's result alone", new Set([mixed])],
  ])("from %s gives the same gradients", (_, keep) => {
    expect(all(grad(loss, wrt, { keep }))).toEqual(all(want));
  });

  test("seams are the sums of the stream; products are those and what costs most", () => {
    expect([...residualSums(loss)]).toEqual(sums);
    const kept = productsAndSums(loss);
    for (const v of [...sums, mixed]) expect(kept.has(v)).toBe(true);
    expect(kept.size).toBe(2 * blocks + 1);
  });

  test("uses nothing of the forward pass but what is kept", () => {
    const keep = residualSums(loss);
    const forward = new Set(topological([loss]));
    const crossed = new Set<Value>();
    for (const v of topological(grad(loss, wrt, { keep }))) {
      if (forward.has(v)) continue;
      for (const x of v.inputs) if (forward.has(x) && x.inputs.length > 0) crossed.add(x);
    }
    expect([...crossed].every((x) => keep.has(x))).toBe(true);
  });

  test("needs less memory, by prediction", () => {
    const bytes = [undefined, productsAndSums(loss), residualSums(loss)].map((keep) =>
      peak(grad(loss, wrt, keep ? { keep } : {})),
    );
    expect(bytes[1]).toBeLessThan(0.7 * bytes[0]!);
    expect(bytes[2]).toBeLessThanOrEqual(bytes[1]!);
  });
});
