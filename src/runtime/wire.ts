import { type Bindings, bindShape, evaluateDim, showShape } from "../graph/dim.js";
import type { Graph } from "../graph/graph.js";
import type { ShapeFeed } from "../onnx/builder.js";
import { type Tensor, tensor } from "../tensor/tensor.js";
import { invariant } from "../util/errors.js";
import type { WireFeeds, WireTensors } from "./protocol.js";
import type { Fed } from "./resident.js";

/** A graph's inputs as the worker takes them. Whole numbers are given as floats. */
export function wireInputs(
  graph: Graph,
  label: string,
  inputs: Readonly<Record<string, Fed>>,
): WireFeeds {
  return Object.fromEntries(
    [...graph.inputs].map(([name, { type }]): [string, WireFeeds[string]] => {
      const fed = inputs[name];
      invariant(fed !== undefined, `${label}: input "${name}" is missing`);
      if ("resident" in fed) return [name, fed.resident];
      const { shape, data } = fed;
      if (type === "float") return [name, { type: "float32", shape, data }];
      const whole = new Int32Array(data);
      const exact = type === "int" && whole.every((n, i) => n === data[i]);
      invariant(exact, `${label}: input "${name}" takes whole numbers`);
      return [name, { type: "int32", shape, data: whole }];
    }),
  );
}

/** The sizes that a graph's symbols have in this run. */
export function bindingsOf(
  graph: Graph,
  label: string,
  inputs: Readonly<Record<string, Fed>>,
): Bindings {
  const bindings: Record<string, number> = {};
  for (const [name, v] of graph.inputs) {
    const fed = inputs[name];
    invariant(fed !== undefined, `${label}: input "${name}" is missing`);
    invariant(
      bindShape(v.shape, fed.shape, bindings),
      `${label}: input "${name}" is [${fed.shape}], expected ${showShape(v.shape)}`,
    );
  }
  return bindings;
}

/** Shapes that a graph is fed beside its inputs. */
export function wireShapes(feeds: readonly ShapeFeed[], bindings: Bindings): WireTensors {
  return Object.fromEntries(
    feeds.map(({ name, dims }) => {
      const data = BigInt64Array.from(dims, (d) => BigInt(evaluateDim(d, bindings)));
      return [name, { type: "int64", shape: [dims.length], data }];
    }),
  );
}

/** What a run gave back. */
export function unwired(label: string, outputs: WireTensors): Readonly<Record<string, Tensor>> {
  return Object.fromEntries(
    Object.entries(outputs).map(([name, { shape, data }]) => {
      invariant(data instanceof Float32Array, `${label}: output ${name} is not float32`);
      return [name, tensor(shape, data as Tensor["data"])];
    }),
  );
}
