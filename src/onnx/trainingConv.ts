import type { Value } from "../graph/value.js";
import type { Builder } from "./builder.js";
import { STANDARD_PRIMITIVES } from "./primitives.js";
import type { Rule } from "./rules.js";
import {
  blocked,
  type Find,
  hasBlocks,
  indices,
  type Layouts,
  type LooseRules,
  type Named,
  NCHWC,
  named,
  packed,
  plain,
  turnBlocks,
} from "./trainingLayouts.js";

/*
 * Convolutions and their gradients as blocked convolutions (see trainingLayouts.ts), which run near
 * the processor's peak: dx with the turned kernel, dw with the gradient itself as the kernel.
 */

type Sides = readonly [number, number, number, number];
type Shape4 = readonly [number, number, number, number];

interface Geometry {
  readonly kernel: readonly [number, number];
  readonly strides?: readonly [number, number];
  readonly dilations?: readonly [number, number];
  /** [top, left, bottom, right] */
  readonly pads: Sides;
  readonly group?: number;
}

/** One blocked convolution; its inputs lie as it wants them. */
function convolve(b: Builder, inputs: readonly string[], geometry: Geometry): string {
  const { kernel, strides = [1, 1], dilations = [1, 1], pads, group = 1 } = geometry;
  return b.node("Conv", inputs, { kernel_shape: kernel, strides, dilations, pads, group }, NCHWC);
}

/** A weight [O,I,kh,kw] in the orders that it may be wanted in. */
interface Kernel {
  readonly shape: Shape4;
  /** In blocks, where both channels have whole blocks. */
  packed(): string;
  /** Row-major. */
  plain(): string;
}

/** Rounds channels up to whole blocks. */
const whole = (channels: number, n: number): number => Math.ceil(channels / n) * n;

/** Stride-aware forward convolution of x with any kernel; undefined where no blocked one exists. */
function forward(
  b: Builder,
  at: Layouts,
  x: Named,
  weight: Kernel,
  bias: string | undefined,
  geometry: Omit<Geometry, "kernel">,
): string | undefined {
  const n = at.block;
  const [o, i, kh, kw] = weight.shape;
  const g: Geometry = { ...geometry, kernel: [kh, kw] };
  const biases = bias === undefined ? [] : [bias];
  if (i % n === 0 && o % n === 0) {
    const y = convolve(b, [blocked(b, at, x), weight.packed(), ...biases], g);
    return at.mark(y, "picture");
  }
  if (i < n && o % n === 0) {
    // Few channels, such as pixels or latents: row-major pictures, weights [O/16, I, kh, kw, 16].
    const rows = b.node("Reshape", [weight.plain(), b.int64([o / n, n, i * kh * kw])]);
    const turned = b.node("Transpose", [rows], { perm: [0, 2, 1] });
    const shaped = b.node("Reshape", [turned, b.int64(weight.shape)]);
    return at.mark(convolve(b, [plain(b, at, x), shaped, ...biases], g), "picture");
  }
  if (i % n === 0 && o < n) {
    // Zero channels are computed and left out again.
    const more = whole(o, n) - o;
    const pad = (name: string, rank: number): string =>
      b.node("Pad", [
        name,
        b.int64(Array.from({ length: 2 * rank }, (_, k) => (k === rank ? more : 0))),
      ]);
    const name = pad(weight.plain(), 4);
    const full = packed(b, at, { name, shape: [o + more, i, kh, kw] });
    const y = convolve(b, [blocked(b, at, x), full, ...biases.map((t) => pad(t, 1))], g);
    return b.node("ReorderOutput", [y], { channels: o }, NCHWC);
  }
  return undefined;
}

const isStatic = (...values: readonly Value[]): boolean =>
  values.every((v) => v.shape.every((d) => typeof d === "number"));

function kernelOf(b: Builder, at: Layouts, name: string, v: Value): Kernel {
  const w = named(name, v);
  return {
    shape: w.shape as Shape4,
    packed: () => packed(b, at, w, v),
    plain: () => plain(b, at, w, v),
  };
}

/** [O,I,kh,kw] -> [I,O,kh,kw], upside down: what takes dy back to x at stride 1. */
function turnedKernel(b: Builder, at: Layouts, { shape, ...from }: Kernel): Kernel {
  const [o, i, kh, kw] = shape;
  const turned: Shape4 = [i, o, kh, kw];
  return {
    shape: turned,
    packed: () =>
      at.once(`turned ${from.packed()}`, () => {
        const [ob, ib, n] = [o / at.block, i / at.block, at.block];
        const rows = indices(b, at, `turn ${shape}`, [ib * ob * kh * kw], (put) => {
          for (let x = 0; x < ib; x++)
            for (let y = 0; y < ob; y++)
              for (let k = kh * kw - 1; k >= 0; k--) put((y * ib + x) * kh * kw + k);
        });
        const blocks = b.node("Reshape", [from.packed(), b.int64([ob * ib * kh * kw, n * n])]);
        const ordered = b.node("Gather", [blocks, rows], { axis: 0 });
        const back = turnBlocks(b, n, ordered, ob * ib * kh * kw);
        return at.mark(b.node("Reshape", [back, b.int64(turned)]), "weight");
      }),
    plain: () => {
      const swapped = b.node("Transpose", [from.plain()], { perm: [1, 0, 2, 3] });
      const flat = b.node("Reshape", [swapped, b.int64([i * o, kh * kw])]);
      const rows = indices(b, at, `flip ${kh * kw}`, [kh * kw], (put) => {
        for (let k = kh * kw - 1; k >= 0; k--) put(k);
      });
      const flipped = b.node("Gather", [flat, rows], { axis: 1 });
      return b.node("Reshape", [flipped, b.int64(turned)]);
    },
  };
}

/** How dx of a strided convolution is put together from the gradients of each phase of the stride. */
interface Phases {
  /** Rows (or columns) of dy that meet one of dx, and how many zeros stand around dy. */
  readonly taps: number;
  readonly before: number;
  readonly after: number;
  /** The row of the kernel that phase `phase` meets at `tap`; -1 if none. */
  row(phase: number, tap: number): number;
}

/** dx[s i + a] is the sum over q of dy[i + q] w[a + pad - s q]. */
function phasesOf(size: number, from: number, k: number, s: number, pad: number): Phases {
  let [first, last] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let a = 0; a < s; a++)
    for (let r = 0; r < k; r++) {
      if ((a + pad - r) % s !== 0) continue;
      first = Math.min(first, (a + pad - r) / s);
      last = Math.max(last, (a + pad - r) / s);
    }
  const taps = last - first + 1;
  return {
    taps,
    before: -first,
    after: size / s + taps - 1 - from + first,
    row(phase, tap) {
      const r = phase + pad - s * (tap + first);
      return r >= 0 && r < k ? r : -1;
    },
  };
}

/**
 * dx at stride s: each of the s x s phases of a pixel's place has a small kernel of its own. All are
 * computed as so many channels, and then put in their places.
 */
function stridedInputGrad(
  b: Builder,
  at: Layouts,
  dy: Named,
  weight: Kernel,
  [batch, c, height, width]: Shape4,
  stride: number,
  [top, left]: Sides,
): string | undefined {
  const n = at.block;
  const [o, i, kh, kw] = weight.shape;
  const [, , h, w] = dy.shape as Shape4;
  if (o % n !== 0 || i % n !== 0 || height % stride !== 0 || width % stride !== 0) return undefined;
  const down = phasesOf(height, h, kh, stride, top);
  const across = phasesOf(width, w, kw, stride, left);
  if (Math.min(down.before, down.after, across.before, across.after) < 0) return undefined;
  const [ob, ib] = [o / n, i / n];
  const taps = down.taps * across.taps;
  const count = stride * stride * ib * ob * taps;
  const filters: Shape4 = [stride * stride * i, o, down.taps, across.taps];
  const kernel = at.once(`phases ${stride} ${top} ${left} ${weight.packed()}`, () => {
    const key = `phases ${weight.shape} ${height} ${width} ${stride} ${top} ${left}`;
    const rows = indices(b, at, key, [count], (put) => {
      for (let p = 0; p < stride; p++)
        for (let q = 0; q < stride; q++)
          for (let x = 0; x < ib; x++)
            for (let y = 0; y < ob; y++)
              for (let u = 0; u < down.taps; u++)
                for (let v = 0; v < across.taps; v++) {
                  const [r, s] = [down.row(p, u), across.row(q, v)];
                  put(r < 0 || s < 0 ? ob * ib * kh * kw : ((y * ib + x) * kh + r) * kw + s);
                }
    });
    const blocks = b.node("Reshape", [weight.packed(), b.int64([ob * ib * kh * kw, n * n])]);
    const zero = b.floats([1, n * n], new Float32Array(n * n));
    const all = b.node("Concat", [blocks, zero], { axis: 0 });
    const turned = turnBlocks(b, n, b.node("Gather", [all, rows], { axis: 0 }), count);
    return at.mark(b.node("Reshape", [turned, b.int64(filters)]), "weight");
  });
  const phases = convolve(b, [blocked(b, at, dy), kernel], {
    kernel: [down.taps, across.taps],
    pads: [down.before, across.before, down.after, across.after],
  });
  const [hs, ws] = [height / stride, width / stride];
  const split = b.node("Reshape", [phases, b.int64([batch, stride, stride, c / n, hs, ws, n])]);
  const places = b.node("Transpose", [split], { perm: [0, 3, 4, 1, 5, 2, 6] });
  return at.mark(b.node("Reshape", [places, b.int64([batch, c, height, width])]), "picture");
}

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
function weightGrad(
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
function narrowWeightGrad(
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
function rowsWeightGrad(
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

const conv2d =
  (find: Find): Rule<"conv2d"> =>
  (b, inputs, v) => {
    const { stride, padding } = v.attrs;
    const at = find(b);
    const tensors = inputs.map((name, i) => named(name, v.inputs[i]!));
    const bias = tensors[2] && plain(b, at, tensors[2]);
    const geometry = { strides: [stride, stride], pads: padding } as const;
    const blocked = (): string | undefined =>
      forward(b, at, tensors[0]!, kernelOf(b, at, inputs[1]!, v.inputs[1]!), bias, geometry);
    return (
      (isStatic(v, ...v.inputs) ? blocked() : undefined) ??
      STANDARD_PRIMITIVES.conv2d(
        b,
        tensors.map((x, i) => plain(b, at, x, v.inputs[i])),
        v,
      )
    );
  };

const conv2dInputGrad =
  (find: Find): Rule<"conv2dInputGrad"> =>
  (b, inputs, v) => {
    const at = find(b);
    const { stride, padding } = v.attrs;
    const [dy, w] = inputs.map((name, i) => named(name, v.inputs[i]!)) as [Named, Named];
    const blocked = (): string | undefined => {
      const weight = kernelOf(b, at, w.name, v.inputs[1]!);
      const shape = v.shape as unknown as Shape4;
      if (stride > 1) return stridedInputGrad(b, at, dy, weight, shape, stride, padding);
      const [, , kh, kw] = weight.shape;
      const [top, left] = [kh - 1 - padding[0], kw - 1 - padding[1]];
      const bottom = shape[2] - dy.shape[2]! + kh - 1 - top;
      const right = shape[3] - dy.shape[3]! + kw - 1 - left;
      if (Math.min(top, left, bottom, right) < 0) return undefined;
      const pads: Sides = [top, left, bottom, right];
      return forward(b, at, dy, turnedKernel(b, at, weight), undefined, { pads });
    };
    return (
      (isStatic(v, ...v.inputs) ? blocked() : undefined) ??
      STANDARD_PRIMITIVES.conv2dInputGrad(b, [plain(b, at, dy), plain(b, at, w, v.inputs[1])], v)
    );
  };

const conv2dWeightGrad =
  (find: Find): Rule<"conv2dWeightGrad"> =>
  (b, inputs, v) => {
    const at = find(b);
    const { stride, padding } = v.attrs;
    const [x, dy] = inputs.map((name, i) => named(name, v.inputs[i]!)) as [Named, Named];
    const shape = v.shape as unknown as Shape4;
    if (!isStatic(v, ...v.inputs)) {
      return STANDARD_PRIMITIVES.conv2dWeightGrad(b, [plain(b, at, x), plain(b, at, dy)], v);
    }
    if (hasBlocks(dy.shape, at.block)) return weightGrad(b, at, x, dy, shape, stride, padding);
    return stride === 1 && hasBlocks(x.shape, at.block)
      ? narrowWeightGrad(b, at, x, dy, shape, padding)
      : rowsWeightGrad(b, at, x, dy, shape, stride, padding);
  };

/** Rows for convolutions and their gradients. */
export function convolutionRules(find: Find): LooseRules {
  const rules = {
    conv2d: conv2d(find),
    conv2dInputGrad: conv2dInputGrad(find),
    conv2dWeightGrad: conv2dWeightGrad(find),
  };
  return { primitives: rules as unknown as LooseRules["primitives"], composites: {} };
}
