import { expect, test } from "vitest";
import { f16ToF32, f32ToBf16, f32ToF16 } from "../tensor/convert.js";
import type { DType } from "../tensor/dtype.js";
import type { StoredTensor } from "../tensor/stored.js";
import { memorySource } from "../util/bytes.js";
import { placeWeights } from "./weights.js";

const VALUES = Float32Array.of(1, -2.5, 0.333251953125, 65504);

function stored(dtype: DType, array: ArrayBufferView<ArrayBuffer>): StoredTensor {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  const source = memorySource(dtype, bytes);
  return { dtype, shape: [2, 2], source, offset: 0, length: bytes.length };
}

const WEIGHTS = new Map([
  ["single", stored("f32", VALUES)],
  ["half", stored("f16", f32ToF16(VALUES))],
  ["brain", stored("bf16", f32ToBf16(VALUES))],
  ["byte", stored("i8", Int8Array.of(1, -2, 3, 4))],
]);

/** Types and bytes of weights as the engine is told of them, and the bytes that it gets. */
async function sent(compute: "f32" | "f16") {
  const { place, blobs } = placeWeights("model", WEIGHTS, { mapsFiles: false, compute });
  const told = [...WEIGHTS.keys()].map((name) => {
    const { dtype, data } = place(name);
    return [name, dtype, data.kind === "external" ? data.length : Number.NaN] as const;
  });
  return { told, blobs: new Map((await blobs()).map(({ path, data }) => [path, data])) };
}

test("weights in memory reach half precision in half precision", async () => {
  const { told, blobs } = await sent("f16");
  expect(told).toEqual([
    ["single", "f16", 8],
    ["half", "f16", 8],
    ["brain", "f16", 8],
    ["byte", "i8", 4],
  ]);
  for (const [name, , length] of told) expect(blobs.get(name)!.byteLength).toBe(length);
  const halves = (name: string) => [...f16ToF32(new Uint16Array(blobs.get(name)!.buffer))];
  expect(halves("single")).toEqual([...VALUES]);
  expect(halves("half")).toEqual([...VALUES]);
  expect(halves("brain")).toEqual([1, -2.5, 0.333984375, Number.POSITIVE_INFINITY]);
});

test("and full precision as they are, but for bfloat16, which not every engine can cast", async () => {
  const { told, blobs } = await sent("f32");
  expect(told).toEqual([
    ["single", "f32", 16],
    ["half", "f16", 8],
    ["brain", "f32", 16],
    ["byte", "i8", 4],
  ]);
  for (const [name, , length] of told) expect(blobs.get(name)!.byteLength).toBe(length);
  const wide = new Float32Array(blobs.get("brain")!.buffer);
  expect([...wide]).toEqual([1, -2.5, 0.333984375, 65536]);
});
