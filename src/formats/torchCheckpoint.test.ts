import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readTensor } from "../tensor/convert.js";
import { type ByteSource, memorySource } from "../util/bytes.js";
import { TintypeError } from "../util/errors.js";
import { readTensorFile } from "./readTensorFile.js";
import { readSafetensors } from "./safetensors.js";
import type { TensorFile } from "./tensorFile.js";
import { readTorchCheckpoint } from "./torchCheckpoint.js";

type Bytes = Uint8Array<ArrayBuffer>;

function bytesOf(name: string): Bytes {
  const path = new URL(`../../test/golden/formats/${name}`, import.meta.url);
  return new Uint8Array(readFileSync(path));
}

function golden(name: string): ByteSource {
  return memorySource(name, bytesOf(name));
}

async function errorOf(source: ByteSource): Promise<TintypeError> {
  const error = await readTorchCheckpoint(source).catch((e) => e);
  expect(error).toBeInstanceOf(TintypeError);
  return error;
}

async function expectSameTensors(file: TensorFile): Promise<void> {
  const expected = await readSafetensors(golden("expected.safetensors"));
  expect([...file.tensors.keys()].sort()).toEqual([...expected.tensors.keys()].sort());
  for (const [name, stored] of file.tensors) {
    const wanted = expected.tensors.get(name)!;
    expect(stored.dtype, name).toBe(wanted.dtype);
    expect(await readTensor(stored), name).toEqual(await readTensor(wanted));
  }
}

/** A legacy file: a storage of the floats 10 to 19, and w, three elements of a view of it. */
function legacyView(start: number, length: number): Bytes {
  const magic = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
  const view = `(U\x01vK${String.fromCharCode(start)}K${String.fromCharCode(length)}t`;
  const storage = `(U\x07storagectorch\nFloatStorage\nU\x01kU\x03cpuK\x0a${view}tQ`;
  const tensor = `ctorch._utils\n_rebuild_tensor\n(${storage}K\0K\x03\x85K\x01\x85tR`;
  const pickles = [
    magic,
    "M\xe9\x03.",
    "}U\x0dlittle_endian\x88s.",
    `}U\x01w${tensor}s.`,
    "]U\x01ka.",
  ];
  const data = new Float32Array(12);
  new DataView(data.buffer).setBigInt64(0, 10n, true);
  for (let i = 0; i < 10; i++) data[2 + i] = 10 + i;
  const head = Buffer.from(pickles.join(""), "latin1");
  return new Uint8Array(Buffer.concat([head, Buffer.from(data.buffer)]));
}

const CHECKPOINTS = [
  "lightning.ckpt",
  "lightning-legacy.ckpt",
  "flat-protocol5.ckpt",
  "flat-legacy-protocol4.ckpt",
];

describe("readTorchCheckpoint", () => {
  it.each(CHECKPOINTS)("reads the values that PyTorch saved: %s", async (name) => {
    await expectSameTensors(await readTorchCheckpoint(golden(name)));
  });

  it.each(CHECKPOINTS)("points into the file itself, copies apart: %s", async (name) => {
    const source = golden(name);
    const { tensors } = await readTorchCheckpoint(source);
    const copies = [...tensors].filter(([, t]) => t.source !== source).map(([key]) => key);
    expect(copies.map((key) => key.replace("model.", ""))).toEqual([
      "transposed",
      "column",
      "every_other",
      "expanded",
      "channels_last",
    ]);
    expect(tensors.get("model.same_storage")!.offset).toBe(tensors.get("model.weight")!.offset);
    expect(tensors.get("model.row")!.offset).toBe(tensors.get("model.weight")!.offset + 2 * 6 * 4);
  });

  it.each(["lightning.ckpt", "lightning-legacy.ckpt"])("keeps the scalars: %s", async (name) => {
    const { metadata } = await readTorchCheckpoint(golden(name));
    expect(metadata).toEqual({
      epoch: "3",
      global_step: "470000",
      "pytorch-lightning_version": "1.4.2",
      loss: "0.125",
      done: "false",
      big: String(2n ** 70n),
      "hyper_parameters.lr": "0.0001",
      "hyper_parameters.betas.0": "0.9",
      "hyper_parameters.betas.1": "0.999",
      "hyper_parameters.size.0": "4",
      "hyper_parameters.size.1": "64",
      "optimizer_states.0.state.0.step": "7",
    });
  });

  it("reads nested dicts and lists, new dtypes and a ParameterDict", async () => {
    const { tensors } = await readTorchCheckpoint(golden("nested.pt"));
    const values: Record<string, number[]> = {};
    for (const [name, stored] of tensors) values[name] = [...(await readTensor(stored)).data];
    expect(values).toEqual({
      u16: [1, 65535],
      f8: [0.5, -448],
      "nested.list.0": [0],
      "nested.list.1.deep": [1, 1],
      "nested.5": [5],
      "embedding.*": [9],
    });
  });

  it("reads a piece of a strided tensor", async () => {
    const { tensors } = await readTorchCheckpoint(golden("lightning.ckpt"));
    const { source, length } = tensors.get("model.transposed")!;
    const whole = await source.read(0, length);
    for (const [offset, size] of [
      [0, 0],
      [1, 6],
      [40, 56],
      [95, 1],
    ] as const) {
      expect(await source.read(offset, size)).toEqual(whole.subarray(offset, offset + size));
    }
    await expect(source.read(length - 1, 2)).rejects.toThrow(TintypeError);
  });

  it.each(["hostile.ckpt", "hostile-legacy.ckpt"])("refuses a hostile pickle: %s", async (name) => {
    const error = await errorOf(golden(name));
    expect(error.code).toBe("unsupported");
    expect(error.message).toBe(
      `${name}: its pickle asks for posix.system, which is not on the list of harmless globals; nothing was ` +
        "executed. Get the .safetensors version of this model; do not load this file elsewhere unless " +
        "you trust who made it.",
    );
    expect(existsSync("owned.txt")).toBe(false);
  });

  it("says that an entry is deflated", async () => {
    expect((await errorOf(golden("deflated.ckpt"))).message).toContain(
      "is deflated (zip method 8)",
    );
  });

  it.each(CHECKPOINTS)("says that a file is cut short, wherever: %s", async (name) => {
    const bytes = bytesOf(name);
    for (let length = 0; length < bytes.length; length += 13) {
      await errorOf(memorySource("cut.ckpt", bytes.slice(0, length)));
    }
  });

  it("finds the same in a zip with a comment", async () => {
    const bytes = new Uint8Array([...bytesOf("lightning.ckpt"), ...Buffer.from("hello")]);
    new DataView(bytes.buffer).setUint16(bytes.length - 5 - 2, 5, true);
    await expectSameTensors(await readTorchCheckpoint(memorySource("c", bytes)));
  });

  it("reads a view of a legacy storage", async () => {
    const source = memorySource("m", legacyView(2, 3));
    const { tensors } = await readTorchCheckpoint(source);
    expect([...(await readTensor(tensors.get("w")!)).data]).toEqual([12, 13, 14]);
    await errorOf(memorySource("m", legacyView(8, 3)));
    await errorOf(memorySource("m", legacyView(2, 2)));
  });

  it("refuses a legacy storage that has another size than its pickle says", async () => {
    const bytes = bytesOf("lightning-legacy.ckpt");
    const { tensors } = await readTorchCheckpoint(memorySource("m", bytes.slice()));
    bytes[tensors.get("model.weight")!.offset - 8] = 99;
    const { message } = await errorOf(memorySource("m.ckpt", bytes));
    expect(message).toMatch(/^m\.ckpt: storage \d+ should have 24 elements, got 99\./);
  });

  it("refuses a storage that is missing from the archive", async () => {
    const bytes = bytesOf("lightning.ckpt");
    const text = Buffer.from(bytes);
    const at = text.lastIndexOf("/data/5");
    bytes[at + "/data/".length] = "x".charCodeAt(0);
    const { message } = await errorOf(memorySource("m.ckpt", bytes));
    expect(message).toBe(
      "m.ckpt: lightning/data/5 is missing from the archive. Download it again.",
    );
  });
});

describe("readTensorFile", () => {
  const FORMATS = [...CHECKPOINTS, "expected.safetensors"];
  it.each(FORMATS)("knows a format by its content: %s", async (name) => {
    await expectSameTensors(await readTensorFile(memorySource("model.bin", bytesOf(name))));
  });

  it.each([
    ["an empty file", "", "the file is empty"],
    [
      "a Git LFS pointer",
      "version https://git-lfs.github.com/spec/v1\noid sha256:0",
      "git lfs pull",
    ],
    ["GGUF", "GGUF\x03\0\0\0", "a GGUF file"],
    ["a web page", "\n<!DOCTYPE html><html>", "this is a web page"],
    ["JSON", '{"error":"not found"}', "this is JSON text"],
    ["zeros", "\0".repeat(600), "begins with zeros"],
    ["gzip", "\x1f\x8b\x08\0", "a packed archive"],
    ["HDF5", "\x89HDF\r\n\x1a\n", "an HDF5 file"],
    ["tar", `${"a".repeat(257)}ustar\0`, "a tar archive"],
    ["something else", "hello, world", "begin with 68 65 6c 6c 6f 2c 20 77"],
    ["a zip of something else", "PK\x05\x06".padEnd(22, "\0"), "it holds nothing"],
  ])("says what it got instead: %s", async (_, text, message) => {
    const source = memorySource("m.ckpt", new Uint8Array(Buffer.from(text, "latin1")));
    const error = await readTensorFile(source).catch((e) => e);
    expect(error).toBeInstanceOf(TintypeError);
    expect(error.message).toMatch(/^m\.ckpt: /);
    expect(error.message).toContain(message);
  });

  it("refuses a pickle that torch.save did not write", async () => {
    await expect(readTensorFile(golden("plain.pkl"))).rejects.toThrow(/plain pickle/);
  });
});
