import type { DType } from "../tensor/dtype.js";
import { Message } from "./protobuf.js";

/*
 * The few messages of onnx.proto that a model needs. Field numbers are onnx.proto's.
 */

/** The opset and IR that every engine here understands in full (WebGPU loses operators above 21). */
export const OPSET = 21;
const IR_VERSION = 10;

/** TensorProto.DataType */
export const ONNX_TYPES: Readonly<Record<DType, number>> = {
  f32: 1,
  u8: 2,
  i8: 3,
  u16: 4,
  i16: 5,
  i32: 6,
  i64: 7,
  bool: 9,
  f16: 10,
  f64: 11,
  u32: 12,
  u64: 13,
  bf16: 16,
  f8e4m3: 17,
  f8e5m2: 19,
};

/** A node's attribute; whole numbers are integers unless wrapped as `{ float }`. */
export type Attribute = number | string | readonly number[] | { readonly float: number };

export interface OnnxNode {
  readonly opType: string;
  /** Empty for ONNX's own operators. */
  readonly domain: string;
  /** Empty strings stand for optional inputs that are left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
  readonly name: string;
}

/** Where a constant tensor's bytes are: in the model, or in a file beside it. */
export type OnnxTensorData =
  | { readonly kind: "inline"; readonly bytes: Uint8Array }
  | {
      readonly kind: "external";
      readonly location: string;
      readonly offset: number;
      readonly length: number;
    };

export interface OnnxTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: OnnxTensorData;
}

/** An input or output of the whole model; a string is a dimension known only when it is run. */
export interface OnnxValue {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly (number | string)[];
}

export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxTensor[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
}

function attribute(name: string, value: Attribute): Message {
  const m = new Message().string(1, name);
  if (typeof value === "string") return m.string(4, value).int(20, 3);
  if (typeof value === "number") return m.int(3, value).int(20, 2);
  if ("float" in value) return m.float(2, value.float).int(20, 1);
  for (const x of value) m.int(8, x);
  return m.int(20, 7);
}

function node(n: OnnxNode): Message {
  const m = new Message();
  for (const x of n.inputs) m.string(1, x);
  for (const x of n.outputs) m.string(2, x);
  m.string(3, n.name).string(4, n.opType);
  for (const [name, value] of Object.entries(n.attributes)) m.message(5, attribute(name, value));
  return n.domain === "" ? m : m.string(7, n.domain);
}

function tensor({ name, dtype, shape, data }: OnnxTensor): Message {
  const m = new Message();
  for (const d of shape) m.int(1, d);
  m.int(2, ONNX_TYPES[dtype]).string(8, name);
  if (data.kind === "inline") return m.bytes(9, data.bytes);
  const entries = { location: data.location, offset: `${data.offset}`, length: `${data.length}` };
  for (const [key, value] of Object.entries(entries)) {
    m.message(13, new Message().string(1, key).string(2, value));
  }
  return m.int(14, 1);
}

function value({ name, dtype, shape }: OnnxValue): Message {
  const dims = new Message();
  for (const d of shape) {
    dims.message(1, typeof d === "number" ? new Message().int(1, d) : new Message().string(2, d));
  }
  const tensorType = new Message().int(1, ONNX_TYPES[dtype]).message(2, dims);
  return new Message().string(1, name).message(2, new Message().message(1, tensorType));
}

/** The bytes of a ModelProto. */
export function encodeModel(graph: OnnxGraph): Uint8Array<ArrayBuffer> {
  const g = new Message();
  for (const n of graph.nodes) g.message(1, node(n));
  g.string(2, "tintype");
  for (const t of graph.initializers) g.message(5, tensor(t));
  for (const v of graph.inputs) g.message(11, value(v));
  for (const v of graph.outputs) g.message(12, value(v));
  const opset = (domain: string, version: number): Message =>
    new Message().string(1, domain).int(2, version);
  const model = new Message()
    .int(1, IR_VERSION)
    .string(2, "tintype")
    .message(7, g)
    .message(8, opset("", OPSET))
    .message(8, opset("com.microsoft", 1));
  // Blocked convolutions are no part of every build: only who uses them imports them.
  const blocks = "com.microsoft.nchwc";
  if (graph.nodes.some((n) => n.domain === blocks)) model.message(8, opset(blocks, 1));
  return model.encode();
}
