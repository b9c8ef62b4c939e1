import { describe, expect, test } from "vitest";
import { type Graph, graphOf } from "../graph/graph.js";
import * as op from "../graph/ops.js";
import { type Int8Options, int8Params } from "../nn/int8.js";
import { conv2d, groupNorm, linear } from "../nn/layers.js";
import { fromFloat32, readTensor } from "../tensor/convert.js";
import { rounders } from "../tensor/quantize.js";
import type { StoredTensor, StoredTensors } from "../tensor/stored.js";
import { sizeOf } from "../tensor/tensor.js";
import { type ByteSource, memorySource } from "../util/bytes.js";
import { int8Weights, requireFinite } from "./int8.js";

type Floats = "f32" | "f16" | "bf16";

const SHAPES: Readonly<Record<string, readonly number[]>> = {
  "norm.weight": [4],
  "norm.bias": [4],
  "conv.weight": [6, 4, 3, 3],
  "conv.bias": [6],
  "point.weight": [5, 6, 1, 1],
  "point.bias": [5],
  "to.weight": [7, 5],
  "to.bias": [7],
  "kept.weight": [3, 7],
  "kept.bias": [3],
};

/** A small network with every kind of layer, one of them kept as it is. */
function network(observer?: Int8Options["observer"]): Graph {
  const keeps = (path: string): boolean => path === "kept";
  const p = int8Params(observer ? { keeps, observer } : { keeps });
  const x = groupNorm(p.at("norm"), op.input("x", [1, 4, 3, 3]), 2, 1e-5);
  const pixels = conv2d(p.at("point"), conv2d(p.at("conv"), x, 6, 3), 5, 1);
  const tokens = op.transpose(op.reshape(pixels, [1, 5, 9]), [0, 2, 1]);
  return graphOf({ y: linear(p.at("kept"), linear(p.at("to"), tokens, 7), 3) });
}

/** A file of these weights, somewhere in its middle, and how often it was read. */
function checkpoint(dtype: Floats): {
  readonly weights: StoredTensors;
  readonly bytes: Uint8Array;
  readonly reads: () => number;
} {
  let reads = 0;
  const pieces = Object.values(SHAPES).map((shape, k) =>
    fromFloat32(
      Float32Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(7 * k + i) / (k + 1)),
      dtype,
    ),
  );
  const bytes = new Uint8Array(Buffer.concat([Buffer.alloc(24), ...pieces]));
  const file = memorySource("model.safetensors", bytes);
  const source: ByteSource = {
    ...file,
    path: "/models/model.safetensors",
    read(offset, length) {
      reads++;
      return file.read(offset, length);
    },
  };
  let offset = 24;
  const weights = new Map<string, StoredTensor>();
  for (const [i, [name, shape]] of Object.entries(SHAPES).entries()) {
    const { length } = pieces[i]!;
    weights.set(name, { dtype, shape, source, offset, length });
    offset += length;
  }
  return { weights, bytes, reads: () => reads };
}

const RANGES = new Map([["conv", Float32Array.of(1, 2, 3, 4, 5, 6)]]);

describe.each(["f32", "f16", "bf16"] as const)("of a checkpoint in %s", (dtype) => {
  const graph = network();

  test("a graph in 8 bits gets all that it asks for, in its shapes", () => {
    const { weights } = checkpoint(dtype);
    const found = int8Weights(graph, weights, { limit: 127, ranges: RANGES });
    for (const [name, { shape }] of graph.params) {
      expect(found.get(name)?.shape, name).toEqual(shape);
    }
    const dtypes = [...graph.params.keys()].map((name) => [name, found.get(name)!.dtype]);
    expect(Object.fromEntries(dtypes)).toEqual({
      "norm.weight": dtype,
      "norm.bias": dtype,
      "conv.weight_int8": "i8",
      "conv.weight_scale": "f32",
      "conv.bias": dtype,
      "conv.output_range": "f32",
      "point.weight_int8": "i8",
      "point.weight_scale": "f32",
      "point.bias": dtype,
      "to.weight_int8": "i8",
      "to.weight_scale": "f32",
      "to.bias": dtype,
      "kept.weight": dtype,
      "kept.bias": dtype,
    });
  });

  test("what is not rounded stays where it is in the file", () => {
    const { weights } = checkpoint(dtype);
    const found = int8Weights(graph, weights, { limit: 127, ranges: RANGES });
    for (const name of ["norm.weight", "conv.bias", "to.bias", "kept.weight"])
      expect(found.get(name)).toBe(weights.get(name));
  });

  test.each([127, 63] as const)("weights are rounded to %i", async (limit) => {
    const { weights, bytes } = checkpoint(dtype);
    const before = bytes.slice();
    const found = int8Weights(graph, weights, { limit, ranges: RANGES });
    const part = async (name: string): Promise<StoredTensor & { data: Float32Array }> => {
      const stored = found.get(name)!;
      expect(stored.source.path).toBeUndefined(); // they lie in no file
      return { ...stored, ...(await readTensor(stored)) };
    };
    const layers = [
      ["conv", 6, false],
      ["point", 5, true],
      ["to", 7, true],
    ] as const;
    for (const [path, rows, transposed] of layers) {
      const { offset, length, shape } = weights.get(`${path}.weight`)!;
      const rounder = rounders()({ dtype, rows, width: sizeOf(shape) / rows, limit, transposed });
      rounder.add(bytes.slice(offset, offset + length));
      const want = rounder.finish();
      expect([...(await part(`${path}.weight_int8`)).data]).toEqual([...want.values]);
      expect([...(await part(`${path}.weight_scale`)).data]).toEqual([...want.scale]);
    }
    expect((await part("point.weight_int8")).shape).toEqual([6, 5]);
    expect([...(await part("conv.output_range")).data]).toEqual([...RANGES.get("conv")!]);
    expect(bytes).toEqual(before);
  });

  test("a layer's parts come of one reading, in whatever order they are asked for", async () => {
    const orders = [
      ["weight_int8", "weight_scale"],
      ["weight_scale", "weight_int8"],
    ];
    for (const order of orders) {
      const { weights, reads } = checkpoint(dtype);
      const found = int8Weights(graph, weights, { limit: 127, ranges: RANGES });
      await Promise.all(order.map((part) => readTensor(found.get(`to.${part}`)!)));
      expect(reads()).toBe(1);
      const first = await readTensor(found.get("to.weight_int8")!);
      expect(await readTensor(found.get("to.weight_int8")!)).toEqual(first);
    }
  });
});

test("nothing is read before it is asked for", () => {
  const { weights, reads } = checkpoint("f32");
  int8Weights(network(), weights, { limit: 127, ranges: RANGES });
  expect(reads()).toBe(0);
});

test("layers come with the norms of their rows, for whoever looks for ranges", async () => {
  const graph = network({ range: () => op.input("range", [6]), peak: () => {} });
  const { weights } = checkpoint("f32");
  const found = int8Weights(graph, weights, { limit: 127, ranges: new Map() });
  expect(graph.params.has("conv.output_range")).toBe(false);
  const { data } = await readTensor(weights.get("conv.weight")!);
  const norms = (await readTensor(found.get("conv.weight_norm")!)).data;
  for (const [o, norm] of norms.entries())
    expect(norm).toBeCloseTo(Math.hypot(...data.subarray(36 * o, 36 * (o + 1))), 5);
});

test("what a checkpoint or the ranges lack is left out, for the loader to name", () => {
  const { weights } = checkpoint("f32");
  const some = new Map(weights);
  some.delete("to.weight");
  some.delete("conv.bias");
  const found = int8Weights(network(), some, { limit: 127, ranges: new Map() });
  const missing = [...network().params.keys()].filter((name) => !found.has(name));
  expect(missing.sort()).toEqual([
    "conv.bias",
    "conv.output_range",
    "to.weight_int8",
    "to.weight_scale",
  ]);
});

test("the same weights have the same names, and others have others", () => {
  const derivedOf = (limit: 127 | 63, dtype: Floats) => {
    const found = int8Weights(network(), checkpoint(dtype).weights, { limit, ranges: RANGES });
    return ["conv", "point", "to"].flatMap((path) =>
      ["weight_int8", "weight_scale"].map(
        (part) => found.get(`${path}.${part}`)!.source.derived!.how,
      ),
    );
  };
  expect(derivedOf(127, "f32")).toEqual(derivedOf(127, "f32"));
  const all = [
    ...derivedOf(127, "f32"),
    ...derivedOf(63, "f32"),
    ...derivedOf(127, "f16"),
    ...derivedOf(127, "bf16"),
  ];
  expect(new Set(all).size).toBe(all.length);
});

test("reading beyond a weight's end is refused", async () => {
  const found = int8Weights(network(), checkpoint("f32").weights, { limit: 127, ranges: RANGES });
  const { source } = found.get("to.weight_int8")!;
  expect(source.size).toBe(35);
  await expect(source.read(30, 6)).rejects.toMatchObject({ code: "bad-file" });
});

test("weights that are read in pieces are the same, and several at once", async () => {
  const [rows, width] = [24, 60_000]; // 5.8 MB
  const data = Float32Array.from({ length: rows * width }, (_, i) => Math.sin(i));
  const source: ByteSource = {
    ...memorySource("large", new Uint8Array(data.buffer)),
    path: "/models/large.safetensors",
  };
  const stored = { dtype: "f32", source, offset: 0, length: 4 * data.length } as const;
  const x = op.input("x", [1, width]);
  const p = int8Params({ keeps: () => false });
  const graph = graphOf({ a: linear(p.at("a"), x, rows), b: linear(p.at("b"), x, rows) });
  const shape = [rows, width];
  const weights = new Map(["a", "b"].map((path) => [`${path}.weight`, { ...stored, shape }]));
  const found = int8Weights(graph, weights, { limit: 127, ranges: new Map() });
  const rounder = rounders()({ dtype: "f32", rows, width, limit: 127, transposed: true });
  rounder.add(new Uint8Array(data.buffer));
  const want = Buffer.from(rounder.finish().values.buffer);
  const both = ["a", "b"].map((path) => found.get(`${path}.weight_int8`)!);
  for (const { source, length } of both) expect(source.size).toBe(length);
  const read = await Promise.all(both.map(({ source, length }) => source.read(0, length)));
  for (const got of read) expect(want.equals(got)).toBe(true);
});

describe("numbers that are not finite", () => {
  const broken = (name: string): StoredTensors => {
    const { weights } = checkpoint("f32");
    const stored = weights.get(name)!;
    const bytes = new Uint8Array(new Float32Array(stored.length / 4).fill(Number.NaN).buffer);
    const source: ByteSource = {
      ...stored.source,
      read: (offset, length) => {
        const from = offset - stored.offset;
        return Promise.resolve(bytes.slice(from, from + length));
      },
    };
    return new Map([...weights, [name, { ...stored, source }]]);
  };

  test("are refused where they would be rounded, by the name of the weight", async () => {
    for (const name of ["conv", "point", "to"]) {
      const found = int8Weights(network(), broken(`${name}.weight`), {
        limit: 127,
        ranges: RANGES,
      });
      for (const part of ["weight_int8", "weight_scale"])
        await expect(readTensor(found.get(`${name}.${part}`)!)).rejects.toMatchObject({
          code: "bad-file",
          message: expect.stringMatching(
            `^int8: ${name}.weight of model.safetensors holds numbers`,
          ),
        });
    }
  });

  test("are refused where they would be taken as they are", async () => {
    const of = (weights: StoredTensors) =>
      requireFinite(int8Weights(network(), weights, { limit: 127, ranges: RANGES }));
    await expect(of(checkpoint("f32").weights)).resolves.toBeUndefined();
    for (const name of ["norm.weight", "conv.bias", "kept.weight"])
      await expect(of(broken(name))).rejects.toMatchObject({
        code: "bad-file",
        message: expect.stringContaining(`int8: ${name} of model.safetensors`),
      });
  });
});
