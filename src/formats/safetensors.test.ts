import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readTensor } from "../tensor/convert.js";
import { memorySource } from "../util/bytes.js";
import { TintypeError } from "../util/errors.js";
import { readSafetensors } from "./safetensors.js";
import { storedChunks, type TensorToWrite, writeSafetensors } from "./safetensorsWriter.js";

type Bytes = Uint8Array<ArrayBuffer>;

function golden(name: string): Bytes {
  return new Uint8Array(
    readFileSync(new URL(`../../test/golden/formats/${name}`, import.meta.url)),
  );
}

function file(header: unknown, data = 0): Bytes {
  const json = typeof header === "string" ? header : JSON.stringify(header);
  const text = new TextEncoder().encode(json);
  const bytes = new Uint8Array(8 + text.length + data);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const entry = (dtype: string, shape: unknown, data_offsets: unknown): unknown => ({
  dtype,
  shape,
  data_offsets,
});

async function messageOf(bytes: Bytes): Promise<string> {
  const error = await readSafetensors(memorySource("m.safetensors", bytes)).catch((e) => e);
  expect(error).toBeInstanceOf(TintypeError);
  return error.message;
}

function collector(): { bytes: () => Bytes; write: (bytes: Bytes) => Promise<void> } {
  const parts: Bytes[] = [];
  return {
    bytes: () => new Uint8Array(Buffer.concat(parts)),
    write: async (bytes) => void parts.push(bytes.slice()),
  };
}

describe("readSafetensors", () => {
  it("reads every dtype, scalars, empty tensors and awkward names as the reference does", async () => {
    const file = await readSafetensors(memorySource("dtypes", golden("dtypes.safetensors")));
    const expected = JSON.parse(new TextDecoder().decode(golden("dtypes.json")));
    expect([...file.tensors.keys()].sort()).toEqual(Object.keys(expected).sort());
    for (const [name, stored] of file.tensors) {
      expect([...(await readTensor(stored)).data], name).toEqual(expected[name]);
    }
    expect(file.metadata).toEqual({ format: "pt" });
    expect(file.tensors.get("scalar")!.shape).toEqual([]);
    expect(file.tensors.get("empty")).toMatchObject({ shape: [0, 4], length: 0 });
    expect(new Set([...file.tensors.values()].map((t) => t.dtype)).size).toBe(15);
  });

  const rows: { name: string; accepted: boolean; base64: string }[] = JSON.parse(
    new TextDecoder().decode(golden("verdicts.json")),
  );
  it.each(rows)("gives the reference's verdict on: $name", async ({ accepted, base64 }) => {
    const source = memorySource("m", new Uint8Array(Buffer.from(base64, "base64")));
    if (accepted) await readSafetensors(source);
    else await expect(readSafetensors(source)).rejects.toThrow(TintypeError);
  });

  it("reads the header alone", async () => {
    const whole = memorySource("big", golden("dtypes.safetensors"));
    const reads: [number, number][] = [];
    const source = {
      ...whole,
      read: (offset: number, length: number) => {
        reads.push([offset, length]);
        return whole.read(offset, length);
      },
    };
    const { tensors } = await readSafetensors(source);
    const dataStart = Math.min(...[...tensors.values()].map((t) => t.offset));
    expect(reads).toEqual([
      [0, 8],
      [8, dataStart - 8],
    ]);
  });

  it("refuses duplicate names, also when they are escaped differently", async () => {
    const one = JSON.stringify(entry("U8", [1], [0, 1]));
    expect(await messageOf(file(`{"a":${one},"\\u0061":${one}}`, 1))).toMatchInlineSnapshot(
      `"m.safetensors: its header names "a" twice. The file is damaged."`,
    );
    await readSafetensors(memorySource("m", file(`{"a":${one.replace("}", ',"x":"a:"}')}}`, 1)));
  });

  it("does not take what every object inherits for a dtype", async () => {
    const source = memorySource("m", file({ a: entry("constructor", [1], [0, 4]) }, 4));
    await expect(readSafetensors(source)).rejects.toMatchObject({ code: "unsupported" });
  });

  it("says who, what was expected, what was got and what to do", async () => {
    const messages = [
      file({ a: entry("F32", [2, 2], [0, 12]) }, 12),
      file({ a: entry("F32", [2], [0, 8]) }, 4),
      file({ a: entry("F32", [2], [0, 8]) }, 10),
      file({ a: entry("U8", [2], [0, 2]), b: entry("U8", [1], [3, 4]) }, 4),
      file({ a: entry("U8", [2], [0, 2]), b: entry("U8", [2], [1, 3]) }, 3),
      file({ a: entry("C64", [1], [0, 8]) }, 8),
      file({ a: entry("U8", [2 ** 60], [0, 1]) }, 1),
      file({ a: entry("U8", [2 ** 40, 2 ** 40], [0, 1]) }, 1),
      file({ __metadata__: { step: 1 } }),
      golden("dtypes.safetensors").subarray(0, 100),
      new Uint8Array(3),
    ].map(messageOf);
    expect(await Promise.all(messages)).toMatchInlineSnapshot(`
      [
        "m.safetensors: tensor "a": F32 [2,2] takes 16 bytes, but its data_offsets [0,12] hold 12. The header is damaged.",
        "m.safetensors: the file is cut short: expected 70 bytes as its header says, got 66. Download it again.",
        "m.safetensors: the file has bytes that belong to no tensor: expected 70 bytes as its header says, got 72. Download it again.",
        "m.safetensors: tensor "b" leaves a hole before it (begins at 3, expected 2). The header is damaged: download it again.",
        "m.safetensors: tensor "b" overlaps the tensor before it (begins at 1, expected 2). The header is damaged: download it again.",
        "m.safetensors: tensor "a": dtype "C64" is not supported. Convert the file to one of BOOL, U8, I8, F8_E5M2, F8_E4M3, I16, U16, F16, BF16, I32, U32, F32, F64, I64, U64.",
        "m.safetensors: tensor "a": expected a shape of whole numbers from 0 on, got [1152921504606847000].",
        "m.safetensors: tensor "a": shape [1099511627776,1099511627776] overflows. The header is damaged.",
        "m.safetensors: expected __metadata__ "step" to be a string, got 1.",
        "m.safetensors: its header takes 1440 bytes, but the file has 100. It is no safetensors file or was cut short: download it again.",
        "m.safetensors: expected a safetensors header, got 3 bytes. It is no safetensors file or was cut short: download it again.",
      ]
    `);
  });

  it("does not choke on a header that nests or repeats itself", async () => {
    expect(await messageOf(file(`{"a":${"[".repeat(100_000)}`))).toContain("nests deeper");
    expect(await messageOf(file(`{"${"\\".repeat(100_001)}`))).toContain("not JSON");
    const long = "x".repeat(2_000_000);
    const ok = file({ [long]: entry("U8", [1], [0, 1]) }, 1);
    expect((await readSafetensors(memorySource("m", ok))).tensors.has(long)).toBe(true);
  });
});

describe("writeSafetensors", () => {
  it("writes byte for byte what the reference writes", async () => {
    const source = memorySource("dtypes", golden("dtypes.safetensors"));
    const { tensors, metadata } = await readSafetensors(source);
    const shuffled = [...tensors].reverse().map(([name, stored]): [string, TensorToWrite] => {
      return [name, { dtype: stored.dtype, shape: stored.shape, bytes: storedChunks(stored) }];
    });
    const sink = collector();
    await writeSafetensors(new Map(shuffled), metadata, sink);
    expect(Buffer.from(sink.bytes())).toEqual(Buffer.from(golden("dtypes.safetensors")));
  });

  it("writes an empty file, with and without metadata", async () => {
    const [plain, described] = [collector(), collector()];
    await writeSafetensors(new Map(), undefined, plain);
    await writeSafetensors(new Map(), { framework: "pt" }, described);
    expect(Buffer.from(plain.bytes()).toString("latin1")).toBe("\x08\0\0\0\0\0\0\0{}      ");
    expect(Buffer.from(described.bytes()).toString("latin1")).toBe(
      '\x28\0\0\0\0\0\0\0{"__metadata__":{"framework":"pt"}}     ',
    );
  });

  it("copies a tensor that is larger than a piece", async () => {
    const data = Uint8Array.from({ length: (8 << 20) + 5 }, (_, i) => i % 251);
    const source = memorySource("big", data);
    const stored = {
      dtype: "u8",
      shape: [data.length],
      source,
      offset: 0,
      length: data.length,
    } as const;
    const sink = collector();
    await writeSafetensors(new Map([["x", { ...stored, bytes: storedChunks(stored) }]]), {}, sink);
    expect(Buffer.compare(sink.bytes().subarray(-data.length), data)).toBe(0);
  });

  it.each([
    ["too few", 7],
    ["too many", 9],
  ])("refuses %s bytes", async (_, length) => {
    const tensor: TensorToWrite = { dtype: "f32", shape: [2], bytes: new Uint8Array(length) };
    const written = writeSafetensors(new Map([["x", tensor]]), undefined, collector());
    await expect(written).rejects.toThrow(/"x" F32 \[2\] takes 8 bytes/);
  });

  it("refuses names that the format cannot hold", async () => {
    const tensor: TensorToWrite = { dtype: "u8", shape: [1], bytes: new Uint8Array(1) };
    for (const name of ["__metadata__", "\ud800"]) {
      const written = writeSafetensors(new Map([[name, tensor]]), undefined, collector());
      await expect(written).rejects.toThrow(TintypeError);
    }
  });
});
