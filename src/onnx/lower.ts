import type { CompositeName } from "../graph/composites.js";
import { type Dim, dimProduct } from "../graph/dim.js";
import type { Graph } from "../graph/graph.js";
import { isOp, type Primitive, topological, type Value } from "../graph/value.js";
import type { DType } from "../tensor/dtype.js";
import { type Builder, builder, type ComputeType, type ShapeFeed } from "./builder.js";
import type { OnnxGraph, OnnxNode, OnnxTensorData, OnnxValue } from "./model.js";
import { linearsInParts } from "./parts.js";
import type { CompositeRule, Emitted, LoweringRules, Rule } from "./rules.js";

/** Where a weight's bytes are, and how they are stored. */
export interface PlacedWeight {
  readonly dtype: DType;
  readonly data: OnnxTensorData;
}

/** A weight that is fed on each run, in this shape. */
export interface FedWeight {
  readonly fed: true;
  readonly shape: readonly number[];
}

/** How to turn a graph into ONNX. */
export interface LoweringOptions {
  readonly rules: LoweringRules;
  readonly compute: ComputeType;
  /** Places the weight of this name; a constant's shape is the graph's. */
  readonly weight: (name: string) => PlacedWeight | FedWeight;
  /** Whether the output of this name is the gradient of a fed weight. */
  readonly isGradient?: (output: string) => boolean;
}

/** An ONNX graph, the shapes that must be fed beside its inputs, and the buffers that it fills. */
export interface LoweredGraph {
  readonly onnx: OnnxGraph;
  readonly shapeFeeds: readonly ShapeFeed[];
  /** Elements of every buffer, each size once. */
  readonly buffers: readonly Dim[];
}

const onnxShape = (shape: readonly Dim[]): (number | string)[] =>
  shape.map((d) => (typeof d === "number" ? d : d.key));

const feedType = (v: Value): DType =>
  v.type === "float" ? "f32" : v.type === "int" ? "i32" : "bool";

/**
 * Emits a graph as ONNX. Inputs and outputs are float32 (or int32) whatever the compute type;
 * weights keep the type that they are stored in and are cast where it differs.
 */
export function lower(
  graph: Graph,
  { rules, compute, weight, isGradient = () => false }: LoweringOptions,
): LoweredGraph {
  const b = builder(compute);
  const names = new Map<Value, string>();
  const inputs: OnnxValue[] = [];
  const fused = (v: Value<"composite">): CompositeRule<never> | undefined =>
    rules.expands?.(v)
      ? undefined
      : (rules.composites[v.attrs.name as CompositeName] as CompositeRule<never> | undefined);
  const insides = (v: Value): readonly Value[] =>
    isOp(v, "composite") && !fused(v) ? [v.attrs.expansion] : v.inputs;
  const order = topological(Object.values(graph.outputs), insides);
  const isPlaced = (name: string): boolean => !("fed" in weight(name));
  const inParts = linearsInParts(order, graph, { insides, isPlaced, isFused: (v) => !!fused(v) });
  const precise = compute === "f32" ? new Set<Value>() : angles(order, insides);
  const precision = (v: Value): ComputeType => (precise.has(v) ? "f32" : compute);

  /** The name of `v` in a precision, cast if need be. */
  const named = (v: Value, wanted: ComputeType): string => {
    const name = names.get(v)!;
    return v.type === "float" && precision(v) !== wanted ? b.cast(name, wanted) : name;
  };

  const emitFed = (v: Value<"param">, { shape }: FedWeight, own: ComputeType): string => {
    const { name } = v.attrs;
    inputs.push({ name, dtype: "f32", shape });
    return own === "f32" ? name : b.cast(name, own);
  };

  const emitPart = (v: Value<"slice">, own: ComputeType): string => {
    const of = v.inputs[0] as Value<"composite">;
    const [x, ...operands] = of.inputs;
    const { start } = v.attrs;
    const rows = { start, size: v.shape.at(-1) as number };
    const parts = operands.map((p) => {
      const placed = weight((p as Value<"param">).attrs.name) as PlacedWeight;
      return emitWeight(b, p as Value<"param">, placed, own, rows);
    });
    const part = { ...of, shape: v.shape };
    return fused(of)!(b.computing(own), [named(x!, own), ...parts], part, of.attrs.spec as never);
  };

  const emit = (v: Value): string => {
    const own = precision(v);
    if (isOp(v, "input")) {
      const { name } = v.attrs;
      inputs.push({ name, dtype: feedType(v), shape: onnxShape(v.shape) });
      return v.type === "float" && own !== "f32" ? b.cast(name, own) : name;
    }
    if (isOp(v, "param")) {
      const placed = weight(v.attrs.name);
      return "fed" in placed ? emitFed(v, placed, own) : emitWeight(b, v, placed, own);
    }
    if (isOp(v, "composite") && !fused(v)) return named(v.attrs.expansion, own);
    if (inParts.has(v)) return ""; // its parts are emitted in its place
    if (isOp(v, "slice") && inParts.has(v.inputs[0]!)) return emitPart(v, own);
    const from = v.inputs.map((x) => named(x, own));
    if (isOp(v, "composite")) return fused(v)!(b.computing(own), from, v, v.attrs.spec as never);
    return (rules.primitives[v.op as Emitted] as Rule<Primitive>)(b.computing(own), from, v);
  };

  for (const v of order) {
    b.scope(pathOf(v));
    names.set(v, emit(v));
    b.allocates(dimProduct(v.shape));
  }
  b.scope("");
  const outputs = Object.entries(graph.outputs).map(([name, v]): OnnxValue => {
    const from = named(v, "f32");
    b.output(name, rules.leave?.(b, from, v, isGradient(name)) ?? from);
    return { name, dtype: feedType(v), shape: onnxShape(v.shape) };
  });
  for (const { name, dims } of b.shapeFeeds)
    inputs.push({ name, dtype: "i64", shape: [dims.length] });
  const nodes = needed(b.nodes, Object.keys(graph.outputs));
  const read = new Set(nodes.flatMap((n) => n.inputs));
  const initializers = b.initializers.filter(({ name }) => read.has(name));
  const onnx = { nodes, initializers, inputs, outputs };
  const buffers = new Map(b.buffers.map((d) => [typeof d === "number" ? d : d.key, d]));
  return { onnx, shapeFeeds: b.shapeFeeds, buffers: [...buffers.values()] };
}

/** Without nodes that no output depends on: engines would run them. */
function needed(nodes: readonly OnnxNode[], outputs: readonly string[]): OnnxNode[] {
  const wanted = new Set(outputs);
  const kept = [...nodes].reverse().filter((node) => {
    const isNeeded = node.outputs.some((name) => wanted.has(name));
    if (isNeeded) for (const name of node.inputs) wanted.add(name);
    return isNeeded;
  });
  return kept.reverse();
}

/**
 * Sines and cosines and all that they depend on: half precision knows an angle of 999 to within 0.5.
 */
function angles(
  order: readonly Value[],
  insides: (v: Value) => readonly Value[],
): ReadonlySet<Value> {
  const precise = new Set<Value>();
  for (const v of [...order].reverse()) {
    if (v.op === "sin" || v.op === "cos") precise.add(v);
    if (precise.has(v)) for (const x of insides(v)) precise.add(x);
  }
  return precise;
}

/** The module that a node belongs to, read off the weights it uses: what profiles are grouped by. */
function pathOf(v: Value): string {
  const weight = v.inputs.find((x): x is Value<"param"> => isOp(x, "param"));
  return weight ? weight.attrs.name.replace(/\.[^.]*$/, "") : "";
}

/** Rows of a weight. */
interface Rows {
  readonly start: number;
  readonly size: number;
}

/** Declares a weight, or some of its rows, which are a range of its bytes, and casts it if need be. */
function emitWeight(
  b: Builder,
  { attrs, shape }: Value<"param">,
  { dtype, data }: PlacedWeight,
  compute: ComputeType,
  rows?: Rows,
): string {
  const [count, ...row] = shape as readonly number[];
  const name = rows ? `${attrs.name}[${rows.start}:${rows.start + rows.size}]` : attrs.name;
  const own = rows
    ? { shape: [rows.size, ...row], data: rowsOf(data, count!, rows) }
    : { shape: shape as readonly number[], data };
  b.initializer({ name, dtype, ...own });
  return dtype === compute ? name : b.cast(name, compute);
}

function rowsOf(data: OnnxTensorData, count: number, { start, size }: Rows): OnnxTensorData {
  const whole = data.kind === "inline" ? data.bytes.length : data.length;
  const [from, length] = [(start * whole) / count, (size * whole) / count];
  return data.kind === "inline"
    ? { kind: "inline", bytes: data.bytes.subarray(from, from + length) }
    : { ...data, offset: data.offset + from, length };
}
