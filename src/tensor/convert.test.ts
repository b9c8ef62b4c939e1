import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { memorySource } from "../util/bytes.js";
import {
  bf16ToF32,
  f16ToF32,
  f32ToBf16,
  f32ToF16,
  fromFloat32,
  readTensor,
  toFloat32,
} from "./convert.js";

const ALL = Uint16Array.from({ length: 65536 }, (_, i) => i);

/** binary16 by its definition: sign, 5 bits of exponent with bias 15, 10 bits of mantissa. */
function f16Value(h: number): number {
  const sign = h < 0x8000 ? 1 : -1;
  const exponent = (h >> 10) & 31;
  const mantissa = h & 1023;
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0
    ? sign * mantissa * 2 ** -24
    : sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

/** One tensor of a safetensors fixture; its reader is tested elsewhere. */
function golden(name: string): ArrayBuffer {
  const path = new URL("../../test/golden/formats/casts.safetensors", import.meta.url);
  const { buffer } = new Uint8Array(readFileSync(path));
  const start = 8 + new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(buffer.slice(8, start)));
  const [begin, end] = header[name].data_offsets;
  return buffer.slice(start + begin, start + end);
}

describe("half precision", () => {
  it("gives each of the 65536 halves its value", () => {
    const floats = f16ToF32(ALL);
    const wrong = ALL.filter((h) => !Object.is(floats[h], f16Value(h)));
    expect(wrong.length).toBe(0);
  });

  it("brings each half back to its own bits, NaN payloads too", () => {
    expect(f32ToF16(f16ToF32(ALL))).toEqual(ALL);
    expect(f32ToBf16(bf16ToF32(ALL))).toEqual(ALL);
  });

  it("gives many the same bits as few, where it is asked to put them too", () => {
    const many = Uint16Array.from({ length: 5 * 65536 }, (_, i) => i);
    const few = new Uint32Array(f16ToF32(ALL).buffer);
    const out = new Float32Array(many.length + 8).subarray(8);
    expect(f16ToF32(many, out)).toBe(out);
    const bits = new Uint32Array(out.buffer, out.byteOffset);
    expect(bits.every((b, i) => b === few[i % 65536])).toBe(true);
    const bytes = new Uint8Array(many.buffer);
    expect(toFloat32(bytes, "bf16", out)).toBe(out);
    expect(bits.every((b, i) => b === (i % 65536) * 65536)).toBe(true);
  });

  it("reads bfloat16 as the upper half of float32", () => {
    const bits = new Uint32Array(bf16ToF32(ALL).buffer);
    expect(bits.every((b, i) => b === i * 65536)).toBe(true);
  });

  it("rounds as PyTorch does: ties, their neighbours, subnormals, overflow, random bits", () => {
    const x = new Float32Array(golden("x"));
    expect(x.length).toBeGreaterThan(16_000);
    expect(f32ToF16(x)).toEqual(new Uint16Array(golden("f16")));
    expect(f32ToBf16(x)).toEqual(new Uint16Array(golden("bf16")));
  });

  it("keeps a NaN a NaN, whatever its payload", () => {
    const nan = new Float32Array(new Uint32Array([0x7f800001, 0xff800001, 0x7fffffff]).buffer);
    expect([...f16ToF32(f32ToF16(nan))]).toEqual([Number.NaN, Number.NaN, Number.NaN]);
    expect([...bf16ToF32(f32ToBf16(nan))]).toEqual([Number.NaN, Number.NaN, Number.NaN]);
    expect([...f32ToF16(nan)].map((h) => h >> 15)).toEqual([0, 1, 0]);
  });

  it("rounds each float32 between two halves to the nearer, and to the even one at the middle", () => {
    for (let h = 0; h < 0x7bff; h += 7) {
      const low = f16Value(h);
      const high = f16Value(h + 1);
      const middle = (low + high) / 2;
      const x = new Float32Array([low + (high - low) / 4, middle, low + ((high - low) * 3) / 4]);
      expect([...f32ToF16(x)]).toEqual([h, h + (h % 2), h + 1]);
    }
  });
});

describe("toFloat32", () => {
  it("reads the 256 values of float8 E4M3 as PyTorch does", () => {
    const expected = new Float32Array(golden("f8e4m3"));
    expect(
      toFloat32(
        Uint8Array.from({ length: 256 }, (_, i) => i),
        "f8e4m3",
      ),
    ).toEqual(expected);
  });

  it("copies where the bytes are not aligned, and only there", () => {
    const floats = new Float32Array([1, -2.5, 3]);
    const shifted = new Uint8Array(13);
    shifted.set(new Uint8Array(floats.buffer), 1);
    expect(toFloat32(shifted.subarray(1), "f32")).toEqual(floats);
    expect(toFloat32(new Uint8Array(floats.buffer), "f32").buffer).toBe(floats.buffer);
  });

  it("undoes fromFloat32 for values that fit", () => {
    const floats = new Float32Array([0, 1, -0.5, 1024, 2 ** -14]);
    for (const dtype of ["f32", "f16", "bf16"] as const) {
      expect(toFloat32(fromFloat32(floats, dtype), dtype)).toEqual(floats);
    }
  });
});

describe("readTensor", () => {
  it("reads a stored tensor at its offset", async () => {
    const bytes = new Uint8Array([9, 9, 9, 0x00, 0x3c, 0x00, 0xc0]);
    const source = memorySource("m", bytes);
    const stored = { dtype: "f16", shape: [2], source, offset: 3, length: 4 } as const;
    expect(await readTensor(stored)).toEqual({ shape: [2], data: new Float32Array([1, -2]) });
  });

  it("names the file that ends too early", async () => {
    const source = memorySource("m", new Uint8Array(4));
    const stored = { dtype: "f32", shape: [2], source, offset: 0, length: 8 } as const;
    await expect(readTensor(stored)).rejects.toThrow(/^m: expected 8 bytes/);
  });
});
