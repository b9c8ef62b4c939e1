import { describe, expect, test } from "vitest";
import { encodeModel, ONNX_TYPES, type OnnxGraph } from "./model.js";

/** A message as its fields: numbers of wire type 0 and 5, bytes of type 2, by field number. */
type Fields = Map<number, (bigint | number | Uint8Array)[]>;

/** A reader of its own for what `Message` writes. */
function read(bytes: Uint8Array): Fields {
  const fields: Fields = new Map();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value);
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const type = tag & 7;
    let value: bigint | number | Uint8Array;
    if (type === 0) value = varint();
    else if (type === 5) {
      value = view.getFloat32(at, true);
      at += 4;
    } else {
      const length = Number(varint());
      value = bytes.subarray(at, at + length);
      at += length;
    }
    fields.set(tag >> 3, [...(fields.get(tag >> 3) ?? []), value]);
  }
  expect(at).toBe(bytes.length);
  return fields;
}

const all = (f: Fields, field: number) => (f.get(field) ?? []) as Uint8Array[];
const one = (f: Fields, field: number): Fields => read(all(f, field)[0]!);
const text = (f: Fields, field: number): string[] =>
  all(f, field).map((b) => new TextDecoder().decode(b));

const GRAPH: OnnxGraph = {
  nodes: [
    {
      opType: "Conv",
      domain: "",
      inputs: ["x", "", "w"],
      outputs: ["y"],
      attributes: { mode: "same", group: 1, eps: { float: 1 }, pads: [0, -1, 2] },
      name: "conv/0",
    },
    {
      opType: "Gelu",
      domain: "com.microsoft",
      inputs: ["y"],
      outputs: ["z"],
      attributes: {},
      name: "",
    },
  ],
  initializers: [
    { name: "c", dtype: "i64", shape: [2], data: { kind: "inline", bytes: Uint8Array.of(1, 2) } },
    {
      name: "w",
      dtype: "bf16",
      shape: [3, 4],
      data: { kind: "external", location: "a b/ü#%.safetensors", offset: 5e9, length: 24 },
    },
  ],
  inputs: [{ name: "x", dtype: "f32", shape: ["b", 4, "8*h"] }],
  outputs: [{ name: "z", dtype: "f16", shape: [] }],
};

describe("a model in ONNX", () => {
  const model = read(encodeModel(GRAPH));
  const graph = one(model, 7);

  test("says which operators it is written in", () => {
    expect(model.get(1)).toEqual([10n]);
    const opsets = all(model, 8).map(read);
    expect(opsets.map((o) => [text(o, 1)[0], o.get(2)![0]])).toEqual([
      ["", 21n],
      ["com.microsoft", 1n],
    ]);
  });

  test("has nodes with inputs in order, left-out ones too, and typed attributes", () => {
    const [conv, gelu] = all(graph, 1).map(read);
    expect(text(conv!, 1)).toEqual(["x", "", "w"]);
    expect([...text(conv!, 2), ...text(conv!, 3), ...text(conv!, 4)]).toEqual([
      "y",
      "conv/0",
      "Conv",
    ]);
    expect(conv!.has(7)).toBe(false);
    expect(text(gelu!, 7)).toEqual(["com.microsoft"]);
    const attributes = all(conv!, 5).map(read);
    expect(attributes.map((a) => text(a, 1)[0])).toEqual(["mode", "group", "eps", "pads"]);
    expect(attributes.map((a) => a.get(20)![0])).toEqual([3n, 2n, 1n, 7n]);
    expect(text(attributes[0]!, 4)).toEqual(["same"]);
    expect(attributes[1]!.get(3)).toEqual([1n]);
    expect(attributes[2]!.get(2)).toEqual([1]); // a float, though its value is whole
    expect(attributes[3]!.get(8)).toEqual([0n, -1n, 2n]);
  });

  test("has constants inside, and weights that stay in their file, beyond 4 GiB too", () => {
    const [inline, external] = all(graph, 5).map(read);
    expect(inline!.get(9)).toEqual([Uint8Array.of(1, 2)]);
    expect(inline!.get(2)).toEqual([7n]);
    expect(external!.get(1)).toEqual([3n, 4n]);
    expect(external!.get(2)).toEqual([16n]);
    expect(external!.get(14)).toEqual([1n]);
    expect(external!.has(9)).toBe(false);
    const entries = all(external!, 13).map(read);
    expect(entries.map((e) => [text(e, 1)[0], text(e, 2)[0]])).toEqual([
      ["location", "a b/ü#%.safetensors"],
      ["offset", "5000000000"],
      ["length", "24"],
    ]);
  });

  test("has inputs and outputs with known and named dimensions", () => {
    const [input] = all(graph, 11).map(read);
    expect(text(input!, 1)).toEqual(["x"]);
    const type = one(one(input!, 2), 1);
    expect(type.get(1)).toEqual([1n]);
    const dims = all(one(type, 2), 1).map(read);
    expect(dims.map((d) => d.get(1)?.[0] ?? text(d, 2)[0])).toEqual(["b", 4n, "8*h"]);
    const scalar = one(one(read(all(graph, 12)[0]!), 2), 1);
    expect(scalar.get(1)).toEqual([10n]);
    expect(all(scalar, 2)[0]!.length).toBe(0); // a shape with no dims is there: a scalar
  });

  test("knows every dtype by onnx.proto's number", () => {
    expect(ONNX_TYPES).toEqual({
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
    });
  });
});
