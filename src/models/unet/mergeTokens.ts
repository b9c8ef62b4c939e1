import { addDims, type Dim, dimProduct, floorDivDim, mulDims, sameDim } from "../../graph/dim.js";
import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import { toPixels, toTokens } from "../../nn/attention.js";

/**
 * Merges tokens [B,H*W,C], the pixels of `pixels` [B,*,H,W], into one a cell of side x side pixels ->
 * [B,M,C], M = H*W/side^2 where side^2 divides H and W (others are stretched to the next such size).
 *
 * Each square of side^2 x side^2 pixels keeps one token a cell, and the others become part of the kept
 * one of their square whose direction is nearest to theirs; what is kept is the mean. Cells are kept
 * at places that take turns, (side i + j, side j + i) for cell (i, j): a grid would see the pixels of
 * an upsampled picture from one side only.
 *
 * Source: bipartite soft matching of Bolya & Hoffman 2023 (tomesd), within squares, so that its cost
 * grows with the pixels and not with their square.
 */
export function mergeTokens(tokens: Value, pixels: Value, side: number): Value {
  const { kept, others } = squares(tokens, pixels, side);
  const channels = tokens.shape[2] as number;
  const length = op.sqrt(op.sum(op.mul(kept, kept), [2]));
  const likeness = op.matmul(others, op.div(kept, length), { transB: true }); // [S,others,kept]
  const nearest = op.equal(likeness, op.reduceMax(likeness, [2]));
  const joins = op.where(nearest, 1, 0);
  const joined = op.matmul(joins, others, { transA: true }); // [S,kept,C]
  const count = op.reshape(op.sum(joins, [1]), [kept.shape[0]!, side * side, 1]);
  const merged = op.div(op.add(kept, joined), op.add(count, 1));
  return op.reshape(merged, [tokens.shape[0]!, -1, channels]);
}

/** Squares of side^2 x side^2 pixels: tokens that are kept [S,side^2,C], and others [S,rest,C]. */
function squares(
  tokens: Value,
  pixels: Value,
  side: number,
): { readonly kept: Value; readonly others: Value } {
  const [batch, , h, w] = pixels.shape as readonly [Dim, Dim, Dim, Dim];
  const edge = side * side;
  const channels = tokens.shape[2] as number;
  const [rows, columns] = [h, w].map((d) => floorDivDim(addDims(d, edge - 1), edge)) as [Dim, Dim];
  const split = [batch, rows, edge, columns, edge * channels];
  const whole = fitted(tokens, pixels, mulDims(rows, edge), mulDims(columns, edge));
  const square = op.reshape(op.transpose(op.reshape(whole, split), [0, 1, 3, 2, 4]), [
    dimProduct([batch, rows, columns]),
    edge * edge,
    channels,
  ]);
  const kept = keptPlaces(side);
  return { kept: pick(square, kept), others: pick(square, kept, { others: true }) };
}

/** Tokens of a picture that is stretched to this size, pixel by pixel. */
function fitted(tokens: Value, pixels: Value, height: Dim, width: Dim): Value {
  const [, , h, w] = pixels.shape;
  if (sameDim(h!, height) && sameDim(w!, width)) return tokens;
  return toTokens(op.resizeNearest(toPixels(tokens, pixels), height, width));
}

/** Where tokens are kept in a square, counted row by row: in each row and in each column one. */
function keptPlaces(side: number): readonly number[] {
  const edge = side * side;
  const places: number[] = [];
  for (let i = 0; i < side; i++) {
    for (let j = 0; j < side; j++) places.push((side * i + j) * edge + (side * j + i));
  }
  return places;
}

/** The tokens of x [S,N,C] at some places, in rising order, or all others. */
function pick(
  x: Value,
  places: readonly number[],
  { others = false }: { readonly others?: boolean } = {},
): Value {
  const count = x.shape[1] as number;
  const runs = others
    ? [-1, ...places].map((p, i) => ({ start: p + 1, end: places[i] ?? count }))
    : places.map((p) => ({ start: p, end: p + 1 }));
  const some = runs.filter(({ start, end }) => end > start);
  return op.concat(
    some.map(({ start, end }) => op.slice(x, 1, start, end - start)),
    1,
  );
}
