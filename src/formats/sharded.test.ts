import { describe, expect, it } from "vitest";
import { readTensor } from "../tensor/convert.js";
import { type Folder, memorySource } from "../util/bytes.js";
import { TintypeError } from "../util/errors.js";
import { writeSafetensors } from "./safetensorsWriter.js";
import { readSharded } from "./sharded.js";

type Bytes = Uint8Array<ArrayBuffer>;

function folderOf(files: Readonly<Record<string, Bytes | object>>): Folder {
  return {
    name: "model",
    list: async () => Object.keys(files).sort(),
    async open(path) {
      const file = files[path];
      if (file === undefined) throw new TintypeError("not-found", `model/${path}: not there`);
      const bytes = file instanceof Uint8Array ? file : Buffer.from(JSON.stringify(file));
      return memorySource(`model/${path}`, new Uint8Array(bytes));
    },
  };
}

/** A safetensors file of scalars. */
async function shard(values: Readonly<Record<string, number>>): Promise<Bytes> {
  const parts: Bytes[] = [];
  const tensors = Object.entries(values).map(([name, value]) => {
    const bytes = new Uint8Array(new Float32Array([value]).buffer);
    return [name, { dtype: "f32", shape: [], bytes }] as const;
  });
  await writeSafetensors(new Map(tensors), undefined, { write: async (b) => void parts.push(b) });
  return new Uint8Array(Buffer.concat(parts));
}

async function messageOf(folder: Folder, index: string): Promise<string> {
  const error = await readSharded(folder, index).catch((e) => e);
  expect(error).toBeInstanceOf(TintypeError);
  return error.message;
}

describe("readSharded", () => {
  const indexOf = (weight_map: unknown): object => ({ metadata: { total_size: 8 }, weight_map });

  it("joins the shards, and adds what the index leaves out", async () => {
    const folder = folderOf({
      "unet/m.safetensors.index.json": indexOf({ a: "1.safetensors", b: "2.safetensors" }),
      "unet/1.safetensors": await shard({ a: 1, b: -1 }),
      "unet/2.safetensors": await shard({ b: 2, surplus: 3 }),
    });
    const { tensors, metadata } = await readSharded(folder, "unet/m.safetensors.index.json");
    const values = await Promise.all(
      [...tensors].map(async ([name, t]) => [name, (await readTensor(t)).data[0]]),
    );
    expect(Object.fromEntries(values)).toEqual({ a: 1, b: 2, surplus: 3 });
    expect(tensors.get("b")!.source.name).toBe("model/unet/2.safetensors");
    expect(metadata).toEqual({ total_size: "8" });
  });

  it("names a shard that is missing", async () => {
    const folder = folderOf({ "i.json": indexOf({ a: "1.safetensors" }) });
    expect(await messageOf(folder, "i.json")).toMatchInlineSnapshot(
      `"model: i.json names the shard 1.safetensors, which is not there. Download it."`,
    );
  });

  it("names a tensor that is not in its shard", async () => {
    const folder = folderOf({
      "i.json": indexOf({ a: "1.safetensors", b: "1.safetensors" }),
      "1.safetensors": await shard({ a: 1 }),
    });
    expect(await messageOf(folder, "i.json")).toMatchInlineSnapshot(
      `"model/i.json: tensor "b" should be in 1.safetensors, which lacks it. The shards belong to another index: download the model again."`,
    );
  });

  it("names a tensor that two shards have", async () => {
    const folder = folderOf({
      "i.json": indexOf({ a: "1.safetensors", b: "2.safetensors" }),
      "1.safetensors": await shard({ a: 1, x: 1 }),
      "2.safetensors": await shard({ b: 1, x: 2 }),
    });
    expect(await messageOf(folder, "i.json")).toMatchInlineSnapshot(
      `"model/i.json: two shards have "x", 2.safetensors too."`,
    );
  });

  it.each(["../x.safetensors", "/etc/x", "a/../../x", "a//x", "./x", "C:x", "..\\x", "", "x\0"])(
    "refuses a shard outside the folder: %j",
    async (path) => {
      const folder = folderOf({ "i.json": indexOf({ a: path }), [path]: await shard({ a: 1 }) });
      expect(await messageOf(folder, "i.json")).toContain("outside the model's folder");
    },
  );

  it.each([
    ["no object", []],
    ["no map", {}],
    ["a list", indexOf(["a"])],
    ["an empty map", indexOf({})],
    ["a number", indexOf({ a: 1 })],
  ])("refuses an index with %s", async (_, index) => {
    expect(await messageOf(folderOf({ "i.json": index }), "i.json")).toMatch(/^model\/i\.json: /);
  });
});
