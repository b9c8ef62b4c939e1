import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { quantizeRows, quantizeRowsTransposed } from "./quantize.js";

/** A matrix [rows, width] whose rows may be larger or smaller than each other by far. */
const matrices = fc
  .tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 70 }))
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

describe("a matrix in whole numbers", () => {
  test("is within half a unit of what it was, and the largest of a row is the limit", () => {
    fc.assert(
      fc.property(matrices, limits, ({ rows, data }, limit) => {
        const { values, scale } = quantizeRows(data, rows, limit);
        const width = data.length / rows;
        for (let row = 0; row < rows; row++) {
          const unit = scale[row]!;
          let largest = 0;
          for (let i = row * width; i < (row + 1) * width; i++) {
            const value = values[i]!;
            largest = Math.max(largest, Math.abs(value));
            const error = Math.abs(value * unit - data[i]!);
            // A unit is rounded to float32.
            expect(error).toBeLessThanOrEqual(unit * (0.5 + 1e-5) + SUBNORMAL);
          }
          const isZero = data.subarray(row * width, (row + 1) * width).every((x) => x === 0);
          expect(largest).toBe(isZero ? 0 : limit);
        }
      }),
    );
  });

  test("knows the Euclidean norm of each row", () => {
    fc.assert(
      fc.property(matrices, ({ rows, data }) => {
        const { norm } = quantizeRows(data, rows, 127);
        const width = data.length / rows;
        for (let row = 0; row < rows; row++) {
          const own = Math.hypot(...data.subarray(row * width, (row + 1) * width));
          expect(Math.abs(norm[row]! - own)).toBeLessThanOrEqual(1e-6 * own + SUBNORMAL);
        }
      }),
    );
  });

  test("is the same transposed", () => {
    fc.assert(
      fc.property(matrices, limits, ({ rows, data }, limit) => {
        const [plain, turned] = [quantizeRows, quantizeRowsTransposed].map((f) =>
          f(data, rows, limit),
        );
        const width = data.length / rows;
        expect(turned!.scale).toEqual(plain!.scale);
        expect(turned!.norm).toEqual(plain!.norm);
        const back = plain!.values.map((_, i) => {
          const [row, column] = [Math.floor(i / width), i % width];
          return turned!.values[column * rows + row]!;
        });
        expect(back).toEqual(plain!.values);
      }),
    );
  });

  test("transposes what is larger than one of its tiles", () => {
    const [rows, width] = [130, 67];
    const data = Float32Array.from({ length: rows * width }, (_, i) => Math.sin(i));
    const plain = quantizeRows(data, rows, 127).values;
    const turned = quantizeRowsTransposed(data, rows, 127).values;
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < width; column++)
        expect(turned[column * rows + row]).toBe(plain[row * width + column]);
  });

  test("has exact values", () => {
    const { values, scale, norm } = quantizeRows(
      Float32Array.of(-254, 2.9, 3, -1, 127, 0, 0, 0, 0, 0),
      2,
      127,
    );
    expect([...values]).toEqual([-127, 1, 2, 0, 64, 0, 0, 0, 0, 0]); // halves go up
    expect([...scale]).toEqual([2, 1]); // a row of zeros has the unit 1
    expect(norm[1]).toBe(0);
    expect([...quantizeRows(Float32Array.of(-254, 127), 1, 63).values]).toEqual([-63, 32]);
  });

  test("stays finite however small or large its numbers are", () => {
    for (const size of [1e-45, 1e-40, 1e-38, 1e-30, 1e30, 3.4e38]) {
      const { values, scale } = quantizeRows(Float32Array.of(size, -size, 0, size / 2), 1, 127);
      expect(Number.isFinite(scale[0]), `unit of ${size}`).toBe(true);
      for (const [i, x] of [size, -size, 0, size / 2].entries()) {
        const error = Math.abs(values[i]! * scale[0]! - x);
        expect(error, `${size}`).toBeLessThanOrEqual(0.5001 * scale[0]! + SUBNORMAL);
      }
    }
  });

  test("must be made of whole rows", () => {
    expect(() => quantizeRows(new Float32Array(7), 2, 127)).toThrow("7 numbers in 2 rows");
  });
});
