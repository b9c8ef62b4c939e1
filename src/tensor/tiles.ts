import { invariant } from "../util/errors.js";
import { type Tensor, tensor } from "./tensor.js";

/*
 * Pictures [B,C,H,W] cut into overlapping tiles of one size, and put together again.
 */

/** Equal tiles over a picture: where their rows and columns begin, and how large each is. */
export interface TileGrid {
  readonly tops: readonly number[];
  readonly lefts: readonly number[];
  readonly height: number;
  readonly width: number;
}

/**
 * Where tiles of size `tile` begin along a side of size `size`: as few as overlap by at least `overlap`
 * everywhere, spread evenly, the first and the last flush with the ends. A side that is no longer
 * than a tile is one tile.
 */
export function tileStarts(size: number, tile: number, overlap: number): number[] {
  invariant(overlap >= 0 && overlap < tile, `tiles of ${tile} that overlap by ${overlap}`);
  if (size <= tile) return [0];
  const last = Math.ceil((size - tile) / (tile - overlap));
  return Array.from({ length: last + 1 }, (_, i) => Math.floor((i * (size - tile)) / last));
}

/** The tiles of a picture of this size. */
export function tileGrid(height: number, width: number, tile: number, overlap: number): TileGrid {
  return {
    tops: tileStarts(height, tile, overlap),
    lefts: tileStarts(width, tile, overlap),
    height: Math.min(tile, height),
    width: Math.min(tile, width),
  };
}

/** The same tiles of the same picture, enlarged. */
export function scaleGrid({ tops, lefts, height, width }: TileGrid, factor: number): TileGrid {
  const scaled = (starts: readonly number[]): number[] => starts.map((start) => start * factor);
  return {
    tops: scaled(tops),
    lefts: scaled(lefts),
    height: height * factor,
    width: width * factor,
  };
}

/**
 * How much each tile counts at each of its places along a side: at every place of the whole these sum
 * to 1. Where two tiles overlap, one fades into the other along a smooth step, which keeps off the
 * outermost `margin` places of each tile as far as the overlap has room for it.
 */
export function featherWeights(
  starts: readonly number[],
  tile: number,
  margin: number,
): Float64Array[] {
  /** From 0 to 1 across an overlap, at distance `d` from the tile's end. */
  const fade = (overlap: number, d: number): number => {
    const kept = Math.min(margin, Math.floor((overlap - 1) / 2));
    const t = Math.min(1, Math.max(0, (d + 0.5 - kept) / (overlap - 2 * kept)));
    return t * t * (3 - 2 * t);
  };
  const raw = starts.map((start, i) => {
    const before = i === 0 ? 0 : starts[i - 1]! + tile - start;
    const after = i + 1 === starts.length ? 0 : start + tile - starts[i + 1]!;
    return Float64Array.from({ length: tile }, (_, d) => {
      const rising = before > 0 ? fade(before, d) : 1;
      return after > 0 ? rising * fade(after, tile - 1 - d) : rising;
    });
  });
  const total = new Float64Array(starts.at(-1)! + tile);
  raw.forEach((w, i) => {
    for (const [d, value] of w.entries()) total[starts[i]! + d]! += value;
  });
  return raw.map((w, i) => w.map((value, d) => value / total[starts[i]! + d]!));
}

/**
 * Rows [top, top + height) and columns [left, left + width) of x [B,C,H,W]. Beyond its edges the
 * outermost pixels go on.
 */
export function crop({ shape, data }: Tensor, { top, left, height, width }: Box): Tensor {
  const [b, c, h, w] = shape as readonly [number, number, number, number];
  const out = new Float32Array(b * c * height * width);
  const within = left >= 0 && left + width <= w;
  let at = 0;
  for (let plane = 0; plane < b * c; plane++) {
    for (let y = top; y < top + height; y++, at += width) {
      const row = (plane * h + clamp(y, h)) * w;
      if (within) out.set(data.subarray(row + left, row + left + width), at);
      else for (let x = 0; x < width; x++) out[at + x] = data[row + clamp(left + x, w)]!;
    }
  }
  return tensor([b, c, height, width], out);
}

/** A part of a picture. */
export interface Box {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

const clamp = (i: number, size: number): number => Math.min(Math.max(i, 0), size - 1);

/** Adds a tile, each row and column times its weight, into a picture of the same channels. */
export function addTile(
  into: Tensor,
  tile: Tensor,
  at: { readonly top: number; readonly left: number },
  weights: { readonly rows: Float64Array; readonly columns: Float64Array },
): void {
  const [, , h, w] = into.shape as readonly [number, number, number, number];
  const [b, c, height, width] = tile.shape as readonly [number, number, number, number];
  invariant(into.shape[1] === c && into.shape[0] === b, "addTile: channels differ");
  const { rows, columns } = weights;
  for (let plane = 0; plane < b * c; plane++) {
    for (let y = 0; y < height; y++) {
      const from = (plane * height + y) * width;
      const to = (plane * h + at.top + y) * w + at.left;
      for (let x = 0; x < width; x++) {
        into.data[to + x]! += rows[y]! * columns[x]! * tile.data[from + x]!;
      }
    }
  }
}
