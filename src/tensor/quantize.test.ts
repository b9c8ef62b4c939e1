import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromFloat32, toFloat32 } from "./convert.js";
import type { DType } from "./dtype.js";
import { type Quantized, rounders } from "./quantize.js";
import type { Rounding } from "./recipe.js";

const round = rounders();

/** A matrix in whole numbers, all of it at once or in pieces of so many rows. */
function quantized(
  data: Float32Array<ArrayBuffer>,
  rows: number,
  limit: 127 | 63 = 127,
  { dtype = "f32", transposed = false, step = rows }: Partial<Rounding> & { step?: number } = {},
): Quantized {
  const width = data.length / rows;
  const stored = dtype === "f64" ? Float64Array.from(data).buffer : undefined;
  const bytes = stored ? new Uint8Array(stored) : fromFloat32(data, dtype as "f32");
  const rounder = round({ dtype, rows, width, limit, transposed });
  const size = bytes.length / rows;
  for (let row = 0; row < rows; row += step)
    expect(rounder.add(bytes.slice(row * size, (row + step) * size))).toBeUndefined();
  return rounder.finish();
}

/** What rounding means, number by number. */
function plainly(data: Float32Array, rows: number, limit: number): Omit<Quantized, "norm"> {
  const f = Math.fround;
  const width = data.length / rows;
  const scale = new Float32Array(rows);
  const values = new Int8Array(data.length);
  for (let row = 0; row < rows; row++) {
    const own = data.subarray(row * width, (row + 1) * width);
    const most = own.reduce((n, x) => Math.max(n, Math.abs(x)), 0);
    scale[row] = most === 0 ? 1 : Math.max(f(most / limit), 2 ** -127);
    const inverse = f(1 / scale[row]!);
    for (const [i, x] of own.entries())
      values[row * width + i] = f(f(x * inverse) + 12582912) - 12582912;
  }
  return { values, scale };
}

/** Compares large arrays in no time. */
function expectSame(got: ArrayBufferView<ArrayBuffer>, want: ArrayBufferView<ArrayBuffer>): void {
  const [a, b] = [got, want].map(({ buffer, byteOffset, byteLength }) =>
    Buffer.from(buffer, byteOffset, byteLength),
  );
  expect(a!.equals(b!)).toBe(true);
}

/** A matrix [rows, width] whose rows may be larger or smaller than each other by far. */
const matrices = fc
  .tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 70 }))
  .chain(([rows, width]) =>
    fc.record({
      rows: fc.constant(rows),
      data: fc
        .tuple(
          fc.array(fc.float({ min: -1, max: 1, noNaN: true }), {
            minLength: rows * width,
            maxLength: rows * width,
          }),
          fc.array(fc.integer({ min: -60, max: 60 }), { minLength: rows, maxLength: rows }),
        )
        .map(([values, exponents]) =>
          Float32Array.from(values, (x, i) => x * 2 ** exponents[Math.floor(i / width)]!),
        ),
    }),
  );

/** Where float32 runs out of digits. */
const SUBNORMAL = 2 ** -126;

const limits = fc.constantFrom(127 as const, 63 as const);
const RUNS = { numRuns: 50 };

describe("a matrix in whole numbers", () => {
  test("is within half a unit of what it was, and the largest of a row is the limit", () => {
    fc.assert(
      fc.property(matrices, limits, ({ rows, data }, limit) => {
        const { values, scale } = quantized(data, rows, limit);
        const width = data.length / rows;
        let most = 0; // by which an error is too large
        for (let row = 0; row < rows; row++) {
          const unit = scale[row]!;
          let largest = 0;
          for (let i = row * width; i < (row + 1) * width; i++) {
            const value = values[i]!;
            largest = Math.max(largest, Math.abs(value));
            const error = Math.abs(value * unit - data[i]!);
            // Units and quotients are rounded to float32.
            most = Math.max(most, error - unit * (0.5 + 2e-5));
          }
          const own = data.subarray(row * width, (row + 1) * width).map(Math.abs);
          const isTiny = Math.max(...own) < limit * 2 ** -127; // below the least unit
          if (!isTiny) expect(largest).toBe(limit);
        }
        expect(most).toBeLessThanOrEqual(SUBNORMAL);
      }),
      RUNS,
    );
  });

  test("is what it would be number by number", () => {
    fc.assert(
      fc.property(matrices, limits, ({ rows, data }, limit) => {
        const { values, scale } = quantized(data, rows, limit);
        const want = plainly(data, rows, limit);
        expect(scale).toEqual(want.scale);
        expectSame(values, want.values);
      }),
      RUNS,
    );
  });

  test("knows the Euclidean norm of each row", () => {
    fc.assert(
      fc.property(matrices, ({ rows, data }) => {
        const { norm } = quantized(data, rows);
        const width = data.length / rows;
        for (let row = 0; row < rows; row++) {
          const own = Math.hypot(...data.subarray(row * width, (row + 1) * width));
          expect(Math.abs(norm[row]! - own)).toBeLessThanOrEqual(1e-6 * own + SUBNORMAL);
        }
      }),
      RUNS,
    );
  });

  test("is the same in pieces, and transposed", () => {
    fc.assert(
      fc.property(matrices, fc.integer({ min: 1, max: 40 }), ({ rows, data }, step) => {
        const plain = quantized(data, rows);
        expect(quantized(data, rows, 127, { step })).toEqual(plain);
        const turned = quantized(data, rows, 127, { transposed: true, step });
        expect(turned.scale).toEqual(plain.scale);
        expect(turned.norm).toEqual(plain.norm);
        const width = data.length / rows;
        const back = plain.values.map((_, i) => {
          const [row, column] = [Math.floor(i / width), i % width];
          return turned.values[column * rows + row]!;
        });
        expectSame(back, plain.values);
      }),
      RUNS,
    );
  });

  test("is right where it is larger than what is worked on at once", () => {
    const [rows, width] = [130, 2067];
    const data = Float32Array.from({ length: rows * width }, (_, i) => Math.sin(i));
    const want = plainly(data, rows, 127);
    const plain = quantized(data, rows);
    expect(plain.scale).toEqual(want.scale);
    expectSame(plain.values, want.values);
    const turned = quantized(data, rows, 127, { transposed: true }).values;
    const back = want.values.map((_, i) => turned[(i % width) * rows + Math.floor(i / width)]!);
    expectSame(back, want.values);
  });

  test.each(["f16", "bf16", "f64"] as const)("of %s is that of its numbers", (dtype) => {
    const [rows, width] = [5, 37];
    const sizes = Float32Array.from(
      { length: rows * width },
      (_, i) => Math.sin(i) * 10 ** -(i % 8),
    );
    sizes.set([6.1e-5, -6e-8, 0, -0], 0); // the least normal half, the least of all
    const exact = dtype === "f64" ? sizes : toFloat32(fromFloat32(sizes, dtype), dtype);
    expect(quantized(sizes, rows, 127, { dtype, step: 2 })).toEqual(quantized(exact, rows));
  });

  test("has exact values", () => {
    const { values, scale, norm } = quantized(
      Float32Array.of(-254, 2.9, 3, -1, 127, 0, 0, 0, 0, 0),
      2,
    );
    expect([...values]).toEqual([-127, 1, 2, 0, 64, 0, 0, 0, 0, 0]); // ties to even
    expect([...scale]).toEqual([2, 1]); // a row of zeros has the unit 1
    expect(norm[1]).toBe(0);
    expect([...quantized(Float32Array.of(-254, 127), 1, 63).values]).toEqual([-63, 32]);
  });

  test("stays finite however small or large its numbers are", () => {
    for (const size of [1e-45, 1e-40, 1e-38, 1e-30, 1e30, 3.4e38]) {
      const { values, scale } = quantized(Float32Array.of(size, -size, 0, size / 2), 1);
      expect(Number.isFinite(scale[0]), `unit of ${size}`).toBe(true);
      for (const [i, x] of [size, -size, 0, size / 2].entries()) {
        const error = Math.abs(values[i]! * scale[0]! - x);
        expect(error, `${size}`).toBeLessThanOrEqual(0.5001 * scale[0]! + SUBNORMAL);
      }
    }
  });

  test.each([
    ["f32", Float32Array.of(Number.NaN)],
    ["f32", Float32Array.of(Number.NEGATIVE_INFINITY)],
    ["f16", Uint16Array.of(0x7c00)],
    ["f16", Uint16Array.of(0xfe00)],
    ["bf16", Uint16Array.of(0x7fc0)],
    ["f64", Float64Array.of(Number.NaN)],
  ] as const)("names the first row that is not finite, in %s", (dtype, broken) => {
    const size = broken.BYTES_PER_ELEMENT;
    for (const width of [3, 16, 21])
      for (const at of [0, width - 1]) {
        const bytes = new Uint8Array(7 * width * size);
        bytes.set(new Uint8Array(broken.buffer), (4 * width + at) * size);
        bytes.set(new Uint8Array(broken.buffer), (6 * width + at) * size);
        const shape: Rounding = {
          dtype: dtype as DType,
          rows: 7,
          width,
          limit: 127,
          transposed: false,
        };
        expect(round(shape).add(bytes)).toBe(4);
        const inPieces = round(shape);
        expect(inPieces.add(bytes.slice(0, 4 * width * size))).toBeUndefined();
        expect(inPieces.add(bytes.slice(4 * width * size))).toBe(4);
      }
  });

  test("must be made of whole rows, all of them and no more", () => {
    const rounder = round({ dtype: "f32", rows: 2, width: 3, limit: 127, transposed: false });
    expect(() => rounder.add(new Uint8Array(16))).toThrow("16 bytes in rows of 12");
    expect(() => rounder.add(new Uint8Array(36))).toThrow("more than 2 rows");
    rounder.add(new Uint8Array(12));
    expect(() => rounder.finish()).toThrow("1 of 2 rows");
  });
});
