import { type Bindings, evaluateDim } from "./dim.js";
import type { Graph } from "./graph.js";
import { isOp, topological, type Value } from "./value.js";

/**
 * Floating point operations of a graph's matrix products and convolutions, where a multiplication and
 * an addition are two: nearly all the work of a network. Compositions count as what they mean.
 */
export function flopsOf(graph: Graph, bindings: Bindings): number {
  const size = (v: Value): number =>
    v.shape.reduce((n: number, d) => n * evaluateDim(d, bindings), 1);
  const inside = (v: Value): readonly Value[] =>
    isOp(v, "composite") ? [v.attrs.expansion] : v.inputs;
  let flops = 0;
  for (const v of topological(Object.values(graph.outputs), inside)) {
    flops += 2 * multiplications(v, size, bindings);
  }
  return flops;
}

function multiplications(v: Value, size: (v: Value) => number, bindings: Bindings): number {
  const [a, b] = v.inputs;
  if (isOp(v, "matmul")) {
    const inner = a!.shape.at(v.attrs.transA ? -2 : -1)!;
    return size(v) * evaluateDim(inner, bindings);
  }
  const kernel = (weight: Value): number => size(weight) / evaluateDim(weight.shape[0]!, bindings);
  // Each output of a convolution, and each gradient that came from one, met a kernel [C,kh,kw].
  if (isOp(v, "conv2d")) return size(v) * kernel(b!);
  if (isOp(v, "conv2dInputGrad")) return size(a!) * kernel(b!);
  if (isOp(v, "conv2dWeightGrad")) return size(b!) * kernel(v);
  return 0;
}
