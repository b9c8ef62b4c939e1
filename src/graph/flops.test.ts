import { expect, test } from "vitest";
import { attention, linear } from "./composites.js";
import { symbol } from "./dim.js";
import { flopsOf } from "./flops.js";
import { graphOf } from "./graph.js";
import * as op from "./ops.js";

const [b, n] = [symbol("b"), symbol("n")];
const flops = (v: ReturnType<typeof op.input>) => flopsOf(graphOf({ v }), { b: 2, n: 5 });

test("a product of matrices multiplies and adds once for each of its rows, columns and inner sides", () => {
  const x = op.input("x", [b, n, 3]);
  expect(flops(op.matmul(x, op.param("w", [3, 7])))).toBe(2 * 2 * 5 * 7 * 3);
  expect(flops(op.matmul(x, op.param("w", [7, 3]), { transB: true }))).toBe(2 * 2 * 5 * 7 * 3);
  expect(flops(op.matmul(x, op.input("y", [b, n, 4]), { transA: true }))).toBe(2 * 2 * 3 * 4 * 5);
});

test("compositions count as what they mean, and what is shared counts once", () => {
  const x = op.input("x", [b, n, 8]);
  const q = linear(x, op.param("w", [8, 8]), op.param("c", [8]));
  const product = 2 * 2 * 5 * 8 * 8;
  expect(flops(q)).toBe(product);
  // Scores and the mixture of values: 2 heads of width 4, 5 tokens each.
  const mixed = attention(q, q, q, { heads: 2, scale: 0.5, causal: false });
  expect(flops(mixed)).toBe(product + 2 * (2 * 2 * 5 * 5 * 8));
});

test("a convolution multiplies a kernel with each of its outputs, and so do its gradients", () => {
  const x = op.input("x", [2, 3, 8, 6]);
  const w = op.param("w", [4, 3, 3, 3]);
  const forward = 2 * (2 * 4 * 4 * 3) * 27;
  const options = { stride: 2, padding: 1 };
  const y = op.conv2d(x, w, undefined, options);
  expect(flops(y)).toBe(forward);
  const dy = op.input("dy", y.shape);
  expect(flops(op.conv2dInputGrad(dy, w, x.shape, options))).toBe(forward);
  expect(flops(op.conv2dWeightGrad(x, dy, [3, 3], options))).toBe(forward);
  expect(flops(op.add(x, 1))).toBe(0);
});
