import { invariant } from "../util/errors.js";

/** A matrix in 8 bits. */
export interface Quantized {
  /** Whole numbers. */
  readonly values: Int8Array<ArrayBuffer>;
  /** What one of them stands for, by row. */
  readonly scale: Float32Array<ArrayBuffer>;
  /** sqrt(sum of squares) of each row. */
  readonly norm: Float32Array<ArrayBuffer>;
}

/**
 * Rounds a matrix of `rows` to whole numbers of -limit to limit, in units that make the largest
 * magnitude of each row the limit; 127, or 63 for processors whose sums of two products saturate.
 * Rows of zeros have the unit 1.
 */
export function quantizeRows(matrix: Float32Array, rows: number, limit: 127 | 63): Quantized {
  invariant(matrix.length % rows === 0, `quantizeRows: ${matrix.length} numbers in ${rows} rows`);
  const width = matrix.length / rows;
  const values = new Int8Array(matrix.length);
  const scale = new Float32Array(rows);
  const norm = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const start = row * width;
    const { largest, squares } = magnitudes(matrix, start, start + width);
    const unit = largest === 0 ? 1 : largest / limit;
    scale[row] = unit;
    norm[row] = Math.sqrt(squares);
    const inverse = 1 / unit;
    for (let i = start; i < start + width; i++) values[i] = roundHalfUp(matrix[i]! * inverse);
  }
  return { values, scale, norm };
}

/** The same of a matrix [rows, width], its values transposed [width, rows]. */
export function quantizeRowsTransposed(
  matrix: Float32Array,
  rows: number,
  limit: 127 | 63,
): Quantized {
  const { values, ...rest } = quantizeRows(matrix, rows, limit);
  return { values: transposed(values, rows), ...rest };
}

function magnitudes(
  x: Float32Array,
  start: number,
  end: number,
): { readonly largest: number; readonly squares: number } {
  let largest = 0;
  let squares = 0;
  for (let i = start; i < end; i++) {
    const magnitude = Math.abs(x[i]!);
    if (magnitude > largest) largest = magnitude;
    squares += magnitude * magnitude;
  }
  return { largest, squares };
}

/** Of magnitudes up to 127.5; far quicker than Math.round. */
const roundHalfUp = (x: number): number => ((x + 1024.5) | 0) - 1024;

/** In tiles that fit a processor's cache. */
function transposed(x: Int8Array, rows: number): Int8Array<ArrayBuffer> {
  const TILE = 64;
  const width = x.length / rows;
  const out = new Int8Array(x.length);
  for (let top = 0; top < rows; top += TILE) {
    const bottom = Math.min(top + TILE, rows);
    for (let left = 0; left < width; left += TILE) {
      const right = Math.min(left + TILE, width);
      for (let i = top; i < bottom; i++) {
        for (let j = left; j < right; j++) out[j * rows + i] = x[i * width + j]!;
      }
    }
  }
  return out;
}
