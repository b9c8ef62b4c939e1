import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ByteSource, memorySource } from "../util/bytes.js";
import { TintypeError } from "../util/errors.js";
import { readTensorFile } from "./readTensorFile.js";
import { readSafetensors } from "./safetensors.js";
import type { TensorFile } from "./tensorFile.js";
import { readTorchCheckpoint } from "./torchCheckpoint.js";

type Bytes = Uint8Array<ArrayBuffer>;
type Read = (source: ByteSource) => Promise<TensorFile>;

const SEEDS = [
  "dtypes.safetensors",
  "expected.safetensors",
  "lightning.ckpt",
  "lightning-legacy.ckpt",
  "flat-protocol5.ckpt",
  "flat-legacy-protocol4.ckpt",
  "nested.pt",
  "hostile.ckpt",
].map((name): Bytes => {
  return new Uint8Array(
    readFileSync(new URL(`../../test/golden/formats/${name}`, import.meta.url)),
  );
});

/** A source that notices a read outside the file, or one that is larger than it. */
function watched(bytes: Bytes): ByteSource {
  const source = memorySource("fuzzed", bytes);
  return {
    ...source,
    read(offset, length) {
      const isInside = Number.isSafeInteger(offset) && Number.isSafeInteger(length);
      if (!isInside || offset < 0 || length < 0 || offset + length > bytes.length) {
        throw new Error(`read [${offset}, ${offset} + ${length}) of ${bytes.length} bytes`);
      }
      return source.read(offset, length);
    },
  };
}

/** Whatever the bytes: a file whose tensors all lie inside it, or a TintypeError, and soon. */
async function survives(read: Read, bytes: Bytes): Promise<void> {
  const start = performance.now();
  const source = watched(bytes);
  const result = await read(source).catch((error: unknown) => error);
  expect(performance.now() - start).toBeLessThan(5000);
  if (result instanceof TintypeError) {
    expect(result.message.length).toBeLessThan(2000);
    return;
  }
  if (result instanceof Error) throw result;
  for (const tensor of (result as TensorFile).tensors.values()) {
    expect(tensor.length).toBeLessThanOrEqual(Math.max(bytes.length, 1 << 20));
    const data = await tensor.source.read(tensor.offset, tensor.length);
    expect(data.length).toBe(tensor.length);
  }
}

/** One of: flip a bit, set a byte, overwrite a word with a telling number, cut, repeat, swap in text. */
const mutation: fc.Arbitrary<(bytes: Bytes) => Bytes> = fc.oneof(
  fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(7)).map(([at, bit]) => (b: Bytes) => {
    const out = b.slice();
    if (out.length > 0) out[Math.floor(at * (out.length - 1))]! ^= 1 << bit;
    return out;
  }),
  fc
    .tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(255))
    .map(([at, value]) => (b: Bytes) => {
      const out = b.slice();
      if (out.length > 0) out[Math.floor(at * (out.length - 1))] = value;
      return out;
    }),
  fc
    .tuple(
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.constantFrom(0n, 1n, 0x7fffffffn, 0xffffffffn, 1n << 32n, 1n << 53n, (1n << 64n) - 1n),
      fc.boolean(),
    )
    .map(([at, value, wide]) => (b: Bytes) => {
      const out = b.slice();
      if (out.length < 8) return out;
      const view = new DataView(out.buffer);
      const offset = Math.floor(at * (out.length - 8));
      if (wide) view.setBigUint64(offset, value, true);
      else view.setUint32(offset, Number(BigInt.asUintN(32, value)), true);
      return out;
    }),
  fc.double({ min: 0, max: 1, noNaN: true }).map((at) => (b: Bytes) => {
    return b.slice(0, Math.floor(at * b.length));
  }),
  fc
    .tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 1, max: 64 }))
    .map(([at, length]) => (b: Bytes) => {
      const offset = Math.floor(at * b.length);
      return new Uint8Array([...b.slice(0, offset + length), ...b.slice(offset)]);
    }),
  fc
    .tuple(
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.constantFrom(
        "cos\nsystem\n",
        "h\x00",
        "R",
        "}",
        "]",
        "(",
        "u",
        '{"a":',
        "[[",
        "-1",
        "1e9",
        '"',
      ),
    )
    .map(([at, text]) => (b: Bytes) => {
      const out = b.slice();
      const offset = Math.floor(at * Math.max(0, out.length - text.length));
      out.set(Buffer.from(text, "latin1").subarray(0, out.length), offset);
      return out;
    }),
);

/** Bytes that look like pickles: opcodes with arguments that fit, in any order. */
const opcode: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(..."(012NQRabdelotsu})].".split("")),
  fc.constantFrom("\x81", "\x85", "\x86", "\x87", "\x88", "\x89", "\x8f", "\x90", "\x91", "\x92"),
  fc.constantFrom(
    "\x93",
    "\x94",
    "J\0\0\0\x80",
    "M\x01\x01",
    "\x8a\x01\xff",
    "I7\n",
    "L-9L\n",
    "F1.5\n",
  ),
  fc.nat(3).map((n) => `K${String.fromCharCode(n)}`),
  fc.nat(5).map((n) => `q${String.fromCharCode(n)}`),
  fc.nat(5).map((n) => `h${String.fromCharCode(n)}`),
  fc.constantFrom("storage", "0", "cpu", "state_dict", "w").map((text) => {
    return `X${String.fromCharCode(text.length)}\0\0\0${text}`;
  }),
  fc
    .constantFrom(
      "collections\nOrderedDict",
      "torch\nFloatStorage",
      "torch\nfloat32",
      "torch\nSize",
      "torch._utils\n_rebuild_tensor_v2",
      "torch._utils\n_rebuild_tensor_v3",
      "torch._utils\n_rebuild_parameter",
      "torch._tensor\n_rebuild_from_type_v2",
      "copy_reg\n_reconstructor",
      "_codecs\nencode",
      "builtins\nlist",
      "builtins\nset",
      "argparse\nNamespace",
      "os\nsystem",
    )
    .map((name) => `c${name}\n`),
);

function fields(size: number, ...values: readonly (readonly [number, number])[]): Buffer {
  const out = Buffer.alloc(size);
  for (const [at, value] of values) out.writeUInt32LE(value, at);
  return out;
}

/** A zip64 extra field: sizes and offset in 64 bits. */
function extra64(length: number, offset: number): Buffer {
  const extra = Buffer.alloc(28);
  extra.writeUInt16LE(1, 0);
  extra.writeUInt16LE(24, 2);
  for (const [i, value] of [length, length, offset].entries()) {
    extra.writeBigUInt64LE(BigInt(value), 4 + 8 * i);
  }
  return extra;
}

/** A stored zip of these entries; with `is64`, all that can stand in zip64 records stands there. */
function zipOf(entries: Readonly<Record<string, Bytes>>, is64 = false): Bytes {
  const full = 0xffffffff;
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let start = 0;
  for (const [name, bytes] of Object.entries(entries)) {
    const size = is64 ? full : bytes.length;
    const extra = is64 ? extra64(bytes.length, start) : Buffer.alloc(0);
    const lengths = name.length | (extra.length << 16);
    const local = fields(
      30,
      [0, 0x04034b50],
      [18, bytes.length],
      [22, bytes.length],
      [26, name.length],
    );
    const offset = is64 ? full : start;
    const row = fields(46, [0, 0x02014b50], [20, size], [24, size], [28, lengths], [42, offset]);
    directory.push(row, Buffer.from(name), extra);
    parts.push(local, Buffer.from(name), Buffer.from(bytes));
    start += local.length + name.length + bytes.length;
  }
  const list = Buffer.concat(directory);
  const count = Object.keys(entries).length;
  const end64 = fields(56, [0, 0x06064b50], [32, count], [40, list.length], [48, start]);
  const locator = fields(20, [0, 0x07064b50], [8, start + list.length]);
  const end = is64
    ? fields(22, [0, 0x06054b50], [8, full], [12, full], [16, full])
    : fields(22, [0, 0x06054b50], [8, count | (count << 16)], [12, list.length], [16, start]);
  const tail = is64 ? [end64, locator, end] : [end];
  return new Uint8Array(Buffer.concat([...parts, list, ...tail]));
}

function checkpoint(pickle: string, is64 = false): Bytes {
  const bytes = new Uint8Array(Buffer.from(pickle, "latin1"));
  return zipOf({ "m/data.pkl": bytes, "m/data/0": new Uint8Array(64) }, is64);
}

const STORAGE = "(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x10tQ";
const tensorOf = (offset: string, shape: string, stride: string): string =>
  `}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n(${STORAGE}${offset}(${shape}t(${stride}t\x89NtRs.`;

const ZIP64 = checkpoint(tensorOf("K\x04", "K\x03K\x02", "K\x02K\x01"), true);

describe("the parsers, fed with anything", () => {
  it("survive damaged files", async () => {
    const damaged = fc
      .tuple(fc.constantFrom(...SEEDS, ZIP64), fc.array(mutation, { minLength: 1, maxLength: 4 }))
      .map(([seed, mutations]) => mutations.reduce((bytes, mutate) => mutate(bytes), seed));
    await fc.assert(
      fc.asyncProperty(damaged, (bytes) => survives(readTensorFile, bytes)),
      { numRuns: 4000, seed: 1 },
    );
  });

  it("survive any bytes", async () => {
    const any = fc.uint8Array({ maxLength: 300 }).map((bytes) => new Uint8Array(bytes));
    for (const read of [readTensorFile, readSafetensors, readTorchCheckpoint]) {
      await fc.assert(
        fc.asyncProperty(any, (bytes) => survives(read, bytes)),
        { numRuns: 500, seed: 2 },
      );
    }
  });

  it("survive any JSON header", async () => {
    const value = fc.oneof(
      fc.constantFrom<unknown>(
        0,
        1,
        4,
        -1,
        1.5,
        2 ** 53,
        2 ** 70,
        null,
        "F32",
        "U8",
        [],
        [0, 4],
        [2, 2],
      ),
      fc.jsonValue(),
    );
    const info = fc.record(
      { dtype: value, shape: value, data_offsets: value },
      { requiredKeys: [] },
    );
    const key = fc.oneof(
      fc.constantFrom("a", "__metadata__", "__proto__", "toString"),
      fc.string(),
    );
    const header = fc.dictionary(key, fc.oneof(info, value));
    await fc.assert(
      fc.asyncProperty(header, fc.nat(16), (object, size) => {
        const json = Buffer.from(JSON.stringify(object));
        const bytes = new Uint8Array(8 + json.length + size);
        new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
        bytes.set(json, 8);
        return survives(readSafetensors, bytes);
      }),
      { numRuns: 2000, seed: 3 },
    );
  });

  it("survive any pickle", async () => {
    const pickle = fc.array(opcode, { maxLength: 60 }).map((ops) => `${ops.join("")}.`);
    await fc.assert(
      fc.asyncProperty(pickle, (text) => survives(readTorchCheckpoint, checkpoint(text))),
      { numRuns: 4000, seed: 4 },
    );
  });

  it("survive any offset, shape and stride", async () => {
    const number = fc.constantFrom(
      "K\0",
      "K\x01",
      "K\x04",
      "K\x0f",
      "K\x10",
      "J\xff\xff\xff\xff",
      "J\xff\xff\xff\x7f",
      "\x8a\x07\0\0\0\0\0\0\x10",
      "N",
    );
    const numbers = fc.array(number, { maxLength: 4 }).map((parts) => parts.join(""));
    await fc.assert(
      fc.asyncProperty(number, numbers, numbers, (offset, shape, stride) => {
        return survives(readTorchCheckpoint, checkpoint(tensorOf(offset, shape, stride)));
      }),
      { numRuns: 3000, seed: 5 },
    );
  });
});

describe("the parsers, attacked", () => {
  it.each([false, true])("read the tensor that they are built from; zip64: %s", async (is64) => {
    const bytes = checkpoint(tensorOf("K\x04", "K\x03K\x02", "K\x02K\x01"), is64);
    const file = await readTorchCheckpoint(watched(bytes));
    const offset = Buffer.from(bytes).indexOf("m/data/0") + 8 + 16;
    expect([...file.tensors]).toMatchObject([
      ["w", { dtype: "f32", shape: [3, 2], offset, length: 24 }],
    ]);
  });

  it.each([
    [
      "a tensor beyond its storage",
      tensorOf("K\x04", "K\x0d", "K\x01"),
      /needs 68 bytes of a storage that has 64/,
    ],
    [
      "a tensor of absurd size",
      tensorOf("K\0", "\x8a\x06\0\0\0\0\0\x10", "K\0"),
      /expands 64 bytes to/,
    ],
    [
      "a shape that overflows",
      tensorOf("K\0", "\x8a\x07\0\0\0\0\0\0\x10\x8a\x07\0\0\0\0\0\0\x10", "K\0K\0"),
      /overflows/,
    ],
    [
      "a negative stride",
      tensorOf("K\0", "K\x02", "J\xff\xff\xff\xff"),
      /stride must be whole numbers/,
    ],
    [
      "a storage larger than its bytes",
      tensorOf("K\0", "K\x02", "K\x01").replace("K\x10tQ", "M\xff\xfftQ"),
      /should have 262140 bytes, got 64/,
    ],
    ["a dict that contains itself", "}q\0X\x01\0\0\0ah\0s.", /nest deeper or wider/],
    [
      "dicts that double at each level",
      `}q\0${"}q\x01X\x01\0\0\0ah\0sX\x01\0\0\0bh\0sh\x01q\0".repeat(31)}.`,
      /nest deeper or wider/,
    ],
    [
      "a long dict seen often",
      `(${"))".repeat(4000)}dq\0](${"h\0".repeat(20_000)}e.`,
      /nest deeper or wider/,
    ],
    [
      "two tensors of a name",
      tensorOf("K\0", "K\x01", "K\x01").replace(
        /s\.$/,
        "q\x01sX\x01\0\0\0b}X\x01\0\0\0ah\x01ssX\x03\0\0\0b.ah\x01s.",
      ),
      /two tensors are called "b\.a"/,
    ],
    ["no tensors", "}.", /it holds none/],
    ["no dict", "K\x01.", /it holds none/],
  ])("refuse %s", async (_, pickle, message) => {
    const read = readTorchCheckpoint(watched(checkpoint(pickle)));
    await expect(read).rejects.toThrow(TintypeError);
    await expect(readTorchCheckpoint(watched(checkpoint(pickle)))).rejects.toThrow(message);
  });

  it.each([
    ["no data.pkl", { "m/data/0": new Uint8Array(4) }, /one data.pkl, got 0/],
    ["two of them", { "a/data.pkl": new Uint8Array(4), "b/data.pkl": new Uint8Array(4) }, /got 2/],
    [
      "a TorchScript program",
      { "m/data.pkl": new Uint8Array(4), "m/constants.pkl": new Uint8Array(4) },
      /TorchScript/,
    ],
    [
      "big-endian numbers",
      { "m/data.pkl": new Uint8Array(4), "m/byteorder": new Uint8Array(Buffer.from("big")) },
      /big-endian/,
    ],
  ])("refuse an archive with %s", async (_, entries, message) => {
    const source = memorySource("m.ckpt", zipOf(entries));
    await expect(readTorchCheckpoint(source)).rejects.toThrow(message);
  });
});
