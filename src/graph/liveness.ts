import { type Bindings, evaluateDim } from "./dim.js";
import type { Graph } from "./graph.js";
import { isOp, topological, type Value } from "./value.js";

/** Results that share their input's memory. */
const VIEWS: ReadonlySet<string> = new Set(["reshape"]);

/**
 * The order that ONNX Runtime works in: depth first, from the last output to the first, and from each
 * node's input that was written last to the one that was written first.
 */
export function engineOrder(outputs: readonly Value[]): readonly Value[] {
  const written = new Map(topological(outputs, sources).map((v, i) => [v, i]));
  return topological(outputs, (v) =>
    [...sources(v)].sort((a, b) => written.get(a)! - written.get(b)!),
  );
}

/**
 * Outputs in the order that lets an engine forget soonest: as it begins with the last one, those that
 * are furthest from the inputs come first. Gradients are then worked out from the last layer's to the
 * first's, each as soon as it can be.
 */
export function deepestFirst(outputs: ReadonlyMap<string, Value>): ReadonlyMap<string, Value> {
  const depths = new Map<Value, number>();
  for (const v of topological([...outputs.values()], sources)) {
    depths.set(v, 1 + sources(v).reduce((n, x) => Math.max(n, depths.get(x)!), 0));
  }
  return new Map([...outputs].sort(([, a], [, b]) => depths.get(b)! - depths.get(a)!));
}

/** What a result is made from, where gradients of compositions are not one kernel. */
function sources(v: Value): readonly Value[] {
  return isOp(v, "composite") && v.attrs.name.endsWith("Grad") ? [v.attrs.expansion] : v.inputs;
}

/**
 * Bytes of results that are alive at once when a graph runs in the engine's order, each freed after
 * its last use: what a run needs beside the weights, if compositions run fused. Floats take 4 bytes.
 * Training takes more: ONNX Runtime holds a buffer from one use to the next of the same size, and
 * gradients of large weights lie in several orders at once (bench/results/trainingMemory.json).
 */
export function peakActivationBytes(graph: Graph, bindings: Bindings): number {
  const order = engineOrder(Object.values(graph.outputs));
  const owner = new Map<Value, Value>();
  const lastUse = new Map<Value, number>();
  order.forEach((v, i) => {
    const [first] = sources(v);
    const isView = VIEWS.has(v.op) || (isOp(v, "composite") && first === v.attrs.expansion);
    const of = isView ? owner.get(first!)! : v;
    owner.set(v, of);
    lastUse.set(of, i);
    for (const input of sources(v)) lastUse.set(owner.get(input)!, i);
  });
  for (const v of Object.values(graph.outputs)) lastUse.set(owner.get(v)!, order.length);

  const freed = new Map<number, number>();
  let [alive, peak] = [0, 0];
  order.forEach((v, i) => {
    if (owner.get(v) === v && !isOp(v, "param")) {
      const bytes = floatBytes(v, bindings);
      alive += bytes;
      const end = lastUse.get(v)!;
      freed.set(end, (freed.get(end) ?? 0) + bytes);
    }
    peak = Math.max(peak, alive);
    alive -= freed.get(i) ?? 0;
  });
  return peak;
}

/** Bytes of the largest result of a graph. */
export function largestActivationBytes({ outputs }: Graph, bindings: Bindings): number {
  const results = engineOrder(Object.values(outputs)).filter((v) => !isOp(v, "param"));
  return Math.max(...results.map((v) => floatBytes(v, bindings)));
}

const floatBytes = ({ shape }: Value, bindings: Bindings): number =>
  4 * shape.reduce((n: number, d) => n * evaluateDim(d, bindings), 1);
