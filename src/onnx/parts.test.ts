import { expect, test } from "vitest";
import { linear } from "../graph/composites.js";
import { graphOf } from "../graph/graph.js";
import * as op from "../graph/ops.js";
import type { Value } from "../graph/value.js";
import { CPU_RULES } from "./cpu.js";
import { type LoweringOptions, lower } from "./lower.js";
import type { OnnxGraph } from "./model.js";

const x = op.input("x", [4, 8]);
const layer = linear(x, op.param("weight", [12, 8]), op.param("bias", [12]));
const part = (start: number, size: number): Value => op.slice(layer, 1, start, size);

const FILE: LoweringOptions["weight"] = (name) => {
  const [offset, length] = name === "weight" ? [1000, 4 * 96] : [100, 4 * 12];
  return { dtype: "f32", data: { kind: "external", location: "file", offset, length } };
};

function lowered(outputs: Record<string, Value>, weight = FILE): OnnxGraph {
  return lower(graphOf(outputs), { rules: CPU_RULES, compute: "f32", weight }).onnx;
}

const kinds = ({ nodes }: OnnxGraph, kind: string): number =>
  nodes.filter(({ opType }) => opType === kind).length;

test("parts of a linear layer are linear layers of rows of its weight", () => {
  const onnx = lowered({ y: part(0, 4), z: part(4, 8) });
  expect([kinds(onnx, "Gemm"), kinds(onnx, "Slice")]).toEqual([2, 0]);
  const ranges = onnx.initializers.map(({ name, shape, data }) => [
    ...[name, shape],
    ...(data.kind === "external" ? [data.offset, data.length] : []),
  ]);
  expect(new Set(ranges)).toEqual(
    new Set([
      ["weight[0:4]", [4, 8], 1000, 128],
      ["bias[0:4]", [4], 100, 16],
      ["weight[4:12]", [8, 8], 1128, 256],
      ["bias[4:12]", [8], 116, 32],
    ]),
  );
});

test("weights in the model itself are cut", () => {
  const inline: LoweringOptions["weight"] = (name) => {
    const bytes = Uint8Array.from({ length: name === "weight" ? 4 * 96 : 48 }, (_, i) => i);
    return { dtype: "f32", data: { kind: "inline", bytes } };
  };
  const { initializers } = lowered({ y: op.mul(part(0, 4), part(4, 4)) }, inline);
  const bias = initializers.find(({ name }) => name === "bias[4:8]")!;
  expect(bias.data).toEqual({
    kind: "inline",
    bytes: Uint8Array.from({ length: 16 }, (_, i) => 16 + i),
  });
});

test.each([
  ["results are used whole as well", { y: part(0, 6), z: op.add(layer, 1) }, FILE],
  ["they leave the graph", { y: part(0, 6), layer }, FILE],
  ["parts overlap", { y: part(0, 6), z: part(5, 7) }, FILE],
  ["rows are cut", { y: op.slice(layer, 0, 0, 2) }, FILE],
  [
    "weights are fed",
    { y: part(0, 6) },
    ((name) => ({
      ...{ fed: true, shape: name === "weight" ? [12, 8] : [12] },
    })) as LoweringOptions["weight"],
  ],
] as const)("a layer is computed once where %s", (_, outputs, weight) => {
  const onnx = lowered(outputs, weight);
  expect(kinds(onnx, "Gemm")).toBe(1);
  expect(kinds(onnx, "Slice")).toBeGreaterThan(0);
});
