import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { nodePlatform } from "../../src/platform/node/platform.js";
import { openFile } from "../../src/platform/node/sources.js";
import { startNodeWorker } from "../../src/platform/node/worker.js";
import { weightFileSize, weightsInFile, writeWeights } from "../../src/runtime/cache/weightFile.js";
import { type Client, connect } from "../../src/runtime/client.js";
import { clientPool } from "../../src/runtime/clientPool.js";
import { readTensor } from "../../src/tensor/convert.js";
import { madeTensors, makers } from "../../src/tensor/made.js";
import type { StoredTensor, StoredTensors } from "../../src/tensor/stored.js";
import { sizeOf } from "../../src/tensor/tensor.js";
import { scratch } from "./support.js";

const platform = nodePlatform();

const workers = (): Client =>
  clientPool(
    () => connect(startNodeWorker(new URL("../../src/runtime/node/worker.js", import.meta.url))),
    2,
  );

/** A client that is asked for nothing, or fails whatever it is asked for. */
const nobody = { request: () => Promise.reject(new Error("gone")) } as unknown as Client;

/** Weights of a file: some in 8 bits, each with its scale and norm, some in blocks. */
async function weightsAt(path: string, broken = false): Promise<StoredTensors> {
  const shapes = { a: [33, 65], b: [32, 16, 3, 3], c: [7, 5], d: [48, 32, 1, 1], e: [9] };
  const chunks: Buffer[] = [];
  const found = new Map<string, StoredTensor>();
  const size = Object.values(shapes).reduce((n, shape) => n + 4 * sizeOf(shape), 0);
  await writeFile(path, new Uint8Array(size));
  const floats = Object.values(shapes).map((shape, k) =>
    Float32Array.from({ length: sizeOf(shape) }, (_, i) => Math.cos(k + i)),
  );
  if (broken) floats[2]![3] = Number.POSITIVE_INFINITY;
  for (const { buffer } of floats) chunks.push(Buffer.from(buffer));
  await writeFile(path, Buffer.concat(chunks));
  const source = await openFile(path);
  const make = makers();
  let offset = 0;
  for (const [name, shape] of Object.entries(shapes)) {
    const [rows = 1, ...rest] = shape;
    const length = 4 * sizeOf(shape);
    const of = { dtype: "f32", shape, source, offset, length } as const;
    offset += length;
    const [width, dtype] = [sizeOf(rest), "f32"] as const;
    const tensors =
      shape.length === 2
        ? madeTensors(
            of,
            { kind: "round", dtype, rows, width, limit: 127, transposed: true },
            [
              { name: `${name}.values`, dtype: "i8", shape: [width, rows] },
              { name: `${name}.scale`, dtype, shape: [rows] },
              { name: `${name}.norm`, dtype, shape: [rows] },
            ],
            { make, refuse: () => new Error(`${name} is broken`) },
          )
        : madeTensors(
            of,
            { kind: "widen", dtype, shape, block: shape.length === 4 ? 16 : undefined },
            [{ name, dtype, shape }],
            { make },
          );
    for (const [i, tensor] of tensors.entries()) found.set(`${name}.${i}`, tensor);
  }
  return found;
}

test("workers write the same file as is written here, and tell what is small", async () => {
  await using folder = await scratch();
  const [model, here, there] = ["model", "here", "there"].map((name) => join(folder.path, name));
  const client = workers();
  try {
    await writeWeights(platform, nobody, here!, await weightsAt(model!));
    const weights = await weightsAt(model!);
    await writeWeights(platform, client, there!, weights);
    const bytes = await readFile(there!);
    expect(bytes.length).toBe(weightFileSize(weights));
    expect(Buffer.compare(bytes, await readFile(here!))).toBe(0);
    expect((await readdir(folder.path)).sort()).toEqual(["here", "model", "there"]);
    const inFile = await weightsInFile(platform, there!, weights);
    for (const [name, tensor] of await weightsAt(model!)) {
      expect(inFile.get(name)?.source.path, name).toBe(there);
      expect(await readTensor(inFile.get(name)!), name).toEqual(await readTensor(tensor));
    }
    await writeFile(model!, ""); // what is small needs no file any more
    for (const name of ["a.1", "a.2", "c.1", "c.2"])
      expect(await readTensor(weights.get(name)!)).toEqual(await readTensor(inFile.get(name)!));
  } finally {
    await client.terminate();
  }
});

test("a weight that cannot be rounded is named, and nothing is left behind", async () => {
  await using folder = await scratch();
  const model = join(folder.path, "model");
  const client = workers();
  try {
    const writing = writeWeights(
      platform,
      client,
      join(folder.path, "w"),
      await weightsAt(model, true),
    );
    await expect(writing).rejects.toThrow("c is broken");
    expect(await readdir(folder.path)).toEqual(["model"]);
  } finally {
    await client.terminate();
  }
});
