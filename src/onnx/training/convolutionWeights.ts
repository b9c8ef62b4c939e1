import { convolve, type Shape4, type Sides } from "../blocks/convolve.js";
import {
  blocked,
  indices,
  type Layouts,
  type Named,
  plain,
  turnBlocks,
} from "../blocks/layouts.js";
import type { Builder } from "../builder.js";

/*
 * How a loss changes with the weight of a convolution: three ways, by which side has whole blocks of
 * channels.
 */

/** Sums of products along columns and pictures, in blocks: what stands for channels in dw. */
interface Columns {
  readonly batch: number;
  readonly width: number;
  /** Blocks of columns of all pictures, a multiple of the number of groups. */
  readonly blocks: number;
  readonly groups: number;
}

/** Blocks of filters that the engine's kernels work on together, and the rows that share threads. */
const FILTER_SET = 4;

/**
 * Columns are cut into groups, whose sums are added at the end, where there would be too few sets of
 * filters to keep all threads busy.
 */
function columnsOf(batch: number, width: number, n: number, filters: number, kh: number): Columns {
  const blocks = Math.ceil((batch * width) / n);
  const shares = Math.ceil(filters / n / FILTER_SET) * kh;
  const groups = Math.min(shares >= 24 ? 1 : shares >= 12 ? 2 : 4, blocks);
  return { batch, width, blocks: Math.ceil(blocks / groups) * groups, groups };
}

/** x [B,C,H,W] with columns innermost: [blocks, rows, C, n], the first `rows` of H. */
function columnsInside(b: Builder, at: Layouts, x: Named, rows: number, columns: Columns): string {
  const n = at.block;
  const [batch, c, h, w] = x.shape as Shape4;
  const { blocks } = columns;
  const shape = b.int64([1, blocks * n, rows, c]);
  if (c % n === 0) {
    const cb = c / n;
    const key = `columns of ${x.shape} ${rows} in ${blocks}`;
    const at32 = indices(b, at, key, [blocks * rows * cb * n], (put) => {
      for (let r = 0; r < blocks; r++)
        for (let y = 0; y < rows; y++)
          for (let k = 0; k < cb; k++)
            for (let j = r * n; j < (r + 1) * n; j++) {
              const picture = Math.floor(j / w);
              // Beyond the last picture the other side is zero.
              put(picture < batch ? ((picture * cb + k) * h + y) * w + (j % w) : 0);
            }
    });
    const pixels = b.node("Reshape", [blocked(b, at, x), b.int64([batch * cb * h * w, n])]);
    const gathered = b.node("Gather", [pixels, at32], { axis: 0 });
    return b.node("Reshape", [turnBlocks(b, n, gathered, blocks * rows * cb), shape]);
  }
  const turned = b.node("Transpose", [plain(b, at, x)], { perm: [2, 1, 0, 3] }); // [H,C,B,W]
  const lines = b.node("Reshape", [turned, b.int64([h, c, batch * w])]);
  const ends = [rows - h, 0, blocks * n - batch * w];
  const padded = b.node("Pad", [lines, b.int64([0, 0, 0, ...ends])]);
  const split = b.node("Reshape", [padded, b.int64([rows * c, blocks, n])]);
  return b.node("Reshape", [b.node("Transpose", [split], { perm: [1, 0, 2] }), shape]);
}

/**
 * g [B,K,H,W] as filters: [groups, kw, K/n, blocks of a group, H, n columns, n channels], once for
 * each column of the kernel, where `columnAt(k, w)` says which column of g meets column w.
 */
function shiftedFilters(
  b: Builder,
  at: Layouts,
  g: Named,
  kw: number,
  columns: Columns,
  key: string,
  columnAt: (k: number, w: number) => number,
): string {
  const n = at.block;
  const [batch, k, h, w] = g.shape as Shape4;
  const { groups, blocks, width } = columns;
  const kb = k / n;
  const pixels = batch * kb * h * w;
  const share = blocks / groups;
  const rows = indices(b, at, key, [kw * kb * blocks * h * n], (put) => {
    for (let group = 0; group < groups; group++)
      for (let s = 0; s < kw; s++)
        for (let c = 0; c < kb; c++)
          for (let r = group * share; r < (group + 1) * share; r++)
            for (let y = 0; y < h; y++)
              for (let j = r * n; j < (r + 1) * n; j++) {
                const picture = Math.floor(j / width);
                const x = columnAt(s, j % width);
                const inside = picture < batch && x >= 0 && x < w && Number.isInteger(x);
                put(inside ? ((picture * kb + c) * h + y) * w + x : pixels);
              }
  });
  const flat = b.node("Reshape", [blocked(b, at, g), b.int64([pixels, n])]);
  const zero = b.floats([1, n], new Float32Array(n));
  const all = at.once(`rows of ${flat} and zero`, () =>
    b.node("Concat", [flat, zero], { axis: 0 }),
  );
  const gathered = b.node("Gather", [all, rows], { axis: 0 });
  return b.node("Reshape", [gathered, b.int64([groups * kw * k, share * n, h, 1])]);
}

/** Sums over groups: [groups, ...shape] -> shape. */
function overGroups(b: Builder, x: string, groups: number, shape: readonly number[]): string {
  const split = b.node("Reshape", [x, b.int64([groups, ...shape])]);
  return groups === 1
    ? b.node("Reshape", [x, b.int64(shape)])
    : b.node("ReduceSum", [split, b.int64([0])], { keepdims: 0 });
}

/**
 * dw as a convolution over rows: columns of all pictures stand for its channels, dy is its kernel as
 * tall as a picture, and its result is as tall as the kernel.
 */
export function weightGrad(
  b: Builder,
  at: Layouts,
  x: Named,
  dy: Named,
  [o, c, kh, kw]: Shape4,
  stride: number,
  [top, left]: Sides,
): string {
  const n = at.block;
  const [batch, , height, width] = x.shape as Shape4;
  const [, , h] = dy.shape as Shape4;
  const columns = columnsOf(batch, width, n, kw * o, kh);
  const spare = kh + stride * (h - 1) - height - top; // rows below, or fewer than there are
  const key = `filters of ${dy.shape} for ${kw} ${stride} ${left} ${width} in ${columns.groups}`;
  const filters = shiftedFilters(b, at, dy, kw, columns, key, (s, w) => (w - s + left) / stride);
  const input = columnsInside(b, at, x, height + Math.min(0, spare), columns);
  const y = convolve(b, [input, filters], {
    kernel: [h, 1],
    dilations: [stride, 1],
    pads: [top, 0, Math.max(0, spare), 0],
    group: columns.groups,
  });
  const ob = o / n;
  if (c % n === 0) {
    const total = overGroups(b, y, columns.groups, [kw, ob, kh, c / n, n * n]);
    const ordered = b.node("Transpose", [total], { perm: [1, 3, 2, 0, 4] });
    return at.mark(b.node("Reshape", [ordered, b.int64([o, c, kh, kw])]), "weight");
  }
  const total = overGroups(b, y, columns.groups, [kw, ob, kh, c, n]);
  const ordered = b.node("Transpose", [total], { perm: [1, 4, 3, 2, 0] });
  return b.node("Reshape", [ordered, b.int64([o, c, kh, kw])]);
}

/** dw of few output channels at stride 1: x is the kernel, and the result comes upside down. */
export function narrowWeightGrad(
  b: Builder,
  at: Layouts,
  x: Named,
  dy: Named,
  [o, c, kh, kw]: Shape4,
  [top, left]: Sides,
): string {
  const n = at.block;
  const [batch, , height] = x.shape as Shape4;
  const [, , h, w] = dy.shape as Shape4;
  const columns = columnsOf(batch, w, n, kw * c, kh);
  const above = kh - 1 - top;
  const key = `filters of ${x.shape} for ${kw} 1 ${-left} ${w} in ${columns.groups}`;
  const filters = shiftedFilters(b, at, x, kw, columns, key, (s, column) => column + s - left);
  const y = convolve(b, [columnsInside(b, at, dy, h, columns), filters], {
    kernel: [height, 1],
    pads: [above, 0, kh - 1 + height - h - above, 0],
    group: columns.groups,
  });
  const total = overGroups(b, y, columns.groups, [kw, c / n, kh, o, n]);
  const rows = indices(b, at, `flip ${kh}`, [kh], (put) => {
    for (let k = kh - 1; k >= 0; k--) put(k);
  });
  const upright = b.node("Gather", [total, rows], { axis: 2 });
  const ordered = b.node("Transpose", [upright], { perm: [3, 1, 4, 2, 0] });
  return b.node("Reshape", [ordered, b.int64([o, c, kh, kw])]);
}

/**
 * dw as one product where there are no blocked convolutions: the pixels that each tap of the kernel
 * meets side by side in rows, one row for each pixel of dy.
 */
export function rowsWeightGrad(
  b: Builder,
  at: Layouts,
  x: Named,
  dy: Named,
  [o, c, kh, kw]: Shape4,
  stride: number,
  [top, left, bottom, right]: Sides,
): string {
  const [batch, , height, width] = x.shape as Shape4;
  const [, , h, w] = dy.shape as Shape4;
  const perm = [0, 2, 3, 1];
  const pixels = b.node("Transpose", [plain(b, at, x)], { perm });
  const pads = b.int64([0, top, left, 0, 0, bottom, right, 0]);
  const across = left + width + right;
  const flat = [batch, (top + height + bottom) * across, c];
  const padded = b.node("Reshape", [b.node("Pad", [pixels, pads]), b.int64(flat)]);
  const key = `taps ${[h, w, kh, kw, stride, across]}`;
  const taps = indices(b, at, key, [h * w * kh * kw], (put) => {
    for (let i = 0; i < h; i++)
      for (let j = 0; j < w; j++)
        for (let p = 0; p < kh; p++)
          for (let q = 0; q < kw; q++) put((i * stride + p) * across + j * stride + q);
  });
  const gathered = b.node("Gather", [padded, taps], { axis: 1 });
  const rows = b.node("Reshape", [gathered, b.int64([batch * h * w, kh * kw * c])]);
  const turned = b.node("Transpose", [plain(b, at, dy)], { perm });
  const dyRows = b.node("Reshape", [turned, b.int64([batch * h * w, o])]);
  const product = b.node("Gemm", [dyRows, rows], { transA: 1 });
  const split = b.node("Reshape", [product, b.int64([o, kh, kw, c])]);
  return b.node("Transpose", [split], { perm: [0, 3, 1, 2] });
}
