import { type Dim, sameDim } from "../graph/dim.js";
import { f32ToF16 } from "../tensor/convert.js";
import type { DType } from "../tensor/dtype.js";
import type { Attribute, OnnxNode, OnnxTensor } from "./model.js";

/** Precision that a graph is computed in. */
export type ComputeType = "f32" | "f16";

/** A shape that depends on symbols: computed on the host before each run and fed as int64. */
export interface ShapeFeed {
  readonly name: string;
  readonly dims: readonly Dim[];
}

/** An ONNX graph while it is emitted: nodes and constants, under names of their own. */
export interface Builder {
  /** Precision of floats between nodes. */
  readonly compute: ComputeType;
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxTensor[];
  readonly shapeFeeds: readonly ShapeFeed[];
  /** Elements of buffers that nodes need, beside the graph's own values. */
  readonly buffers: readonly Dim[];
  /** Appends a node with one output and returns that output's name. */
  node(
    opType: string,
    inputs: readonly string[],
    attributes?: Readonly<Record<string, Attribute>>,
    domain?: string,
  ): string;
  /** Appends a node and returns the names of its first `count` outputs. */
  outputsOf(count: number, ...of: Parameters<Builder["node"]>): readonly string[];
  /** The same, but nodes that do the same to the same are one. */
  sharedOutputsOf(...of: Parameters<Builder["outputsOf"]>): readonly string[];
  /** A float constant in the compute type; equal constants are kept once. */
  floats(shape: readonly number[], data: ArrayLike<number>): string;
  /** A constant of 8-bit whole numbers; equal constants are kept once. */
  bytes(shape: readonly number[], data: Uint8Array | Int8Array): string;
  /** An int64 constant; equal constants are kept once. */
  int64(values: readonly number[]): string;
  /** An int64 vector of dims, constant where they are all known, fed where they are not. */
  shape(dims: readonly Dim[]): string;
  /** `x` in another shape; `from` is its shape now. */
  reshape(x: string, from: readonly Dim[], to: readonly Dim[]): string;
  /** `x` cast to a type. */
  cast(x: string, to: DType): string;
  /** Adds a constant of any kind under its own name. */
  initializer(tensor: OnnxTensor): void;
  /** Names a value as an output of the whole graph. */
  output(name: string, from: string): void;
  /** Notes that a node between values needs a buffer of this many elements. */
  allocates(elements: Dim): void;
  /** The same graph, for nodes in another precision. */
  computing(precision: ComputeType): Builder;
  /** Prefixes the names of the nodes that follow with where they come from. */
  scope(path: string): void;
}

const CAST_TYPES: Readonly<Partial<Record<DType, number>>> = {
  f32: 1,
  u8: 2,
  i32: 6,
  i64: 7,
  bool: 9,
  f16: 10,
};

const bytesOf = (a: ArrayBufferView): Uint8Array =>
  new Uint8Array(a.buffer, a.byteOffset, a.byteLength);

/** An empty graph. */
export function builder(compute: ComputeType): Builder {
  const nodes: OnnxNode[] = [];
  const initializers: OnnxTensor[] = [];
  const shapeFeeds: ShapeFeed[] = [];
  const buffers: Dim[] = [];
  const known = new Map<string, string>();
  let path = "";

  const once = (key: string, make: (name: string) => void): string => {
    const name = known.get(key) ?? `c${known.size}`;
    if (!known.has(key)) {
      known.set(key, name);
      make(name);
    }
    return name;
  };

  const outputsOf: Builder["outputsOf"] = (count, opType, inputs, attributes = {}, domain = "") => {
    const at = nodes.length;
    const name = path === "" ? `${opType}_${at}` : `${path}/${opType}_${at}`;
    // The engine names nodes that it puts in the place of others after their outputs.
    const outputs = Array.from({ length: count }, (_, i) => (i === 0 ? name : `${name}.${i}`));
    nodes.push({ opType, domain, inputs, outputs, attributes, name });
    return outputs;
  };
  const shared = new Map<string, readonly string[]>();
  const sharedOutputsOf: Builder["sharedOutputsOf"] = (...of) => {
    const key = JSON.stringify(of);
    const outputs = shared.get(key) ?? outputsOf(...of);
    shared.set(key, outputs);
    return outputs;
  };
  const node: Builder["node"] = (...of) => outputsOf(1, ...of)[0]!;

  const constant = (dtype: DType, shape: readonly number[], bytes: Uint8Array): string =>
    once(`${dtype}[${shape}]${bytes.join()}`, (name) => {
      initializers.push({ name, dtype, shape, data: { kind: "inline", bytes } });
    });

  const int64: Builder["int64"] = (values) =>
    constant("i64", [values.length], bytesOf(BigInt64Array.from(values, BigInt)));

  const bytes: Builder["bytes"] = (dims, data) =>
    constant(data instanceof Int8Array ? "i8" : "u8", dims, bytesOf(data));

  const shape: Builder["shape"] = (dims) => {
    if (dims.every((d) => typeof d === "number")) return int64(dims);
    const key = dims.map((d) => (typeof d === "number" ? d : d.key)).join(", ");
    return once(`shape [${key}]`, () => {
      shapeFeeds.push({ name: `c${known.size - 1}`, dims });
    });
  };

  /** 0 copies a dim and -1 is worked out: enough where only one dim is new and unknown. */
  const reshape: Builder["reshape"] = (x, from, to) => {
    const target = to.map((d, i) => {
      if (typeof d === "number") return d;
      return from[i] !== undefined && sameDim(from[i], d) ? 0 : -1;
    });
    const holes = target.filter((d) => d === -1).length;
    const input = holes <= 1 ? int64(target) : shape(to);
    return node("Reshape", [x, input]);
  };

  const floats =
    (precision: ComputeType): Builder["floats"] =>
    (dims, data) =>
      precision === "f32"
        ? constant("f32", dims, bytesOf(Float32Array.from(data)))
        : constant("f16", dims, bytesOf(f32ToF16(Float32Array.from(data))));

  const graph: Builder = {
    compute,
    nodes,
    initializers,
    shapeFeeds,
    buffers,
    node,
    outputsOf,
    sharedOutputsOf,
    bytes,
    int64,
    shape,
    reshape,
    floats: floats(compute),
    cast: (x, to) => node("Cast", [x], { to: CAST_TYPES[to]! }),
    initializer: (tensor) => {
      initializers.push(tensor);
    },
    output: (name, from) => {
      const inputs = [from];
      nodes.push({ opType: "Identity", domain: "", inputs, outputs: [name], attributes: {}, name });
    },
    allocates: (elements) => {
      buffers.push(elements);
    },
    computing: (precision) =>
      precision === graph.compute
        ? graph
        : { ...graph, compute: precision, floats: floats(precision) },
    scope: (to) => {
      path = to;
    },
  };
  return graph;
}
