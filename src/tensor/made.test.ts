import { describe, expect, test } from "vitest";
import { memorySource } from "../util/bytes.js";
import { blockedLayout } from "./blocks.js";
import { f32ToF16, fromFloat32, toFloat32 } from "./convert.js";
import type { DType } from "./dtype.js";
import { madeTensors, makers } from "./made.js";
import { rounders } from "./quantize.js";
import type { Recipe } from "./recipe.js";
import type { StoredTensor } from "./stored.js";
import { sizeOf } from "./tensor.js";

const numbers = (shape: readonly number[]): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(i) * (1 + (i % 7)));

/** A tensor in the middle of a file, and how often it was read. */
function stored(shape: readonly number[], dtype: "f32" | "f16" | "bf16", data = numbers(shape)) {
  const bytes = fromFloat32(data, dtype);
  const whole = new Uint8Array(bytes.length + 24);
  whole.set(bytes, 24);
  const file = memorySource("model.safetensors", whole);
  const lengths: number[] = [];
  const read: typeof file.read = (offset, length, into) => {
    lengths.push(length);
    return file.read(offset, length, into);
  };
  const of = { dtype, shape, source: { ...file, read }, offset: 24, length: bytes.length };
  return { of: of satisfies StoredTensor, bytes, lengths };
}

const rounded = (dtype: DType, [rows = 1, ...rest]: readonly number[]): Recipe => {
  const width = sizeOf(rest);
  return { kind: "round", dtype, rows, width, limit: 127, transposed: rest.length === 1 };
};

describe.each(["f32", "f16", "bf16"] as const)("of a file in %s", (dtype) => {
  // The second has to be read in pieces, whichever type it has.
  test.each([[[32, 48, 3, 3]], [[1040, 1280, 3, 3]]])(
    "weights %j are put in blocks",
    async (shape) => {
      const { of, bytes, lengths } = stored(shape, dtype);
      const [made] = (await makers()(of, { kind: "widen", dtype, shape, block: 16 }))!;
      const want = blockedLayout(shape, 16)!.pack(toFloat32(bytes, dtype));
      expect(Buffer.compare(Buffer.from(made!.buffer), Buffer.from(want.buffer))).toBe(0);
      expect(lengths.length > 1).toBe(shape[0] === 1040);
      expect(Math.max(...lengths)).toBeLessThan(6 * 2 ** 20);
    },
  );

  test("what is in no blocks becomes float32 as it is", async () => {
    for (const shape of [[], [5], [3, 4]]) {
      const { of, bytes } = stored(shape, dtype);
      const [made] = (await makers()(of, { kind: "widen", dtype, shape, block: undefined }))!;
      expect(made).toEqual(toFloat32(bytes, dtype).slice());
    }
  });

  test("matrices are rounded as in one piece", async () => {
    const shape = [1600, 3000];
    const { of, bytes } = stored(shape, dtype);
    const recipe = rounded(dtype, shape);
    const rounder = rounders()(recipe as Extract<Recipe, { kind: "round" }>);
    rounder.add(bytes);
    const { values, scale, norm } = rounder.finish();
    expect(await makers()(of, recipe)).toEqual([values, scale, norm]);
  });
});

test("recipes that are asked for at once are followed one after the other", async () => {
  const make = makers();
  const shapes = [
    [64, 40, 3, 3],
    [700, 900],
    [16, 16, 1, 1],
  ];
  const all = shapes.map((shape) => stored(shape, "f32"));
  const alone = [];
  for (const { of } of all) alone.push(await makers()(of, rounded("f32", of.shape)));
  const together = all.map(({ of }) => make(of, rounded("f32", of.shape)));
  expect(await Promise.all(together)).toEqual(alone);
});

describe("tensors of one recipe", () => {
  const parts = [
    { name: "values", dtype: "i8", shape: [4, 3] },
    { name: "scale", dtype: "f32", shape: [3] },
    { name: "norm", dtype: "f32", shape: [3] },
  ] as const;
  const made = (data?: Float32Array<ArrayBuffer>) => {
    const { of, lengths } = stored([3, 4], "f32", data);
    const refuse = () => new Error("not finite");
    const tensors = madeTensors(of, rounded("f32", [3, 4]), parts, { make: makers(), refuse });
    return { tensors, lengths };
  };
  const bytesOf = ({ source, length }: StoredTensor) => source.read(0, length);

  test("are read together, and the small ones stay known", async () => {
    const { tensors, lengths } = made();
    await Promise.all(tensors.map(bytesOf));
    expect(lengths).toHaveLength(1);
    await bytesOf(tensors[2]!);
    expect(lengths).toHaveLength(1);
    await bytesOf(tensors[0]!);
    expect(lengths).toHaveLength(2);
  });

  test("need no reading where others tell what the small ones are", async () => {
    const { tensors, lengths } = made();
    const known = [Float32Array.of(1, 2, 3), Float32Array.of(4, 5, 6)];
    tensors[0]!.made!.tell(known);
    expect(toFloat32(await bytesOf(tensors[1]!), "f32")).toEqual(known[0]);
    expect(toFloat32(await bytesOf(tensors[2]!), "f32")).toEqual(known[1]);
    expect(lengths).toHaveLength(0);
  });

  test("are refused where a number is not finite", async () => {
    const { tensors } = made(numbers([3, 4]).fill(Number.NaN, 5, 6));
    await expect(bytesOf(tensors[0]!)).rejects.toThrow("not finite");
    await expect(bytesOf(tensors[1]!)).rejects.toThrow("not finite");
  });

  test("say all that decides about them", () => {
    const how = (dtype: "f32" | "f16", limit: 127 | 63) => {
      const { of } = stored([3, 4], dtype);
      const recipe = { ...rounded(dtype, [3, 4]), limit } as Recipe;
      return madeTensors(of, recipe, parts, { make: makers() }).map((t) => t.source.derived!.how);
    };
    expect(how("f32", 127)).toEqual(how("f32", 127));
    const all = [...how("f32", 127), ...how("f32", 63), ...how("f16", 127)];
    expect(new Set(all).size).toBe(9);
  });
});

test("halves are widened to the same bits as floats were", async () => {
  const data = numbers([48, 32, 3, 3]);
  const halves = stored([48, 32, 3, 3], "f16", data);
  const exact = toFloat32(new Uint8Array(f32ToF16(data).buffer), "f16");
  const floats = stored([48, 32, 3, 3], "f32", exact);
  const block = { kind: "widen", shape: [48, 32, 3, 3], block: 16 } as const;
  const make = makers();
  expect(await make(halves.of, { ...block, dtype: "f16" })).toEqual(
    await make(floats.of, { ...block, dtype: "f32" }),
  );
});
