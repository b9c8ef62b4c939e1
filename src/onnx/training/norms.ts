import { blocked, type Layouts, type Named, NCHWC } from "../blocks/layouts.js";
import type { Builder } from "../builder.js";

/*
 * Arithmetic by channel on blocked pictures [B,C,H,W]. Seen as one picture of B*C channels, a scale
 * and shift of each channel of each picture is a convolution with 1 x 1 kernels of one channel, a sum
 * is a mean of its pixels, and a sum of products a convolution with the other factor as the kernel:
 * one pass each.
 */

/** [B,C,H,W] seen as [1,B*C,H,W]. */
function merged(b: Builder, x: string, [batch, c, h, w]: readonly number[]): string {
  return b.node("Reshape", [x, b.int64([1, batch! * c!, h!, w!])]);
}

function perChannel(channels: number, kernel: readonly [number, number]) {
  const [strides, pads] = [
    [1, 1],
    [0, 0, 0, 0],
  ];
  return { kernel_shape: kernel, strides, dilations: strides, pads, group: channels };
}

/** scale x + shift, with one of each [B*C] for each channel of each picture. */
export function affine(b: Builder, at: Layouts, x: Named, scale: string, shift?: string): string {
  const channels = x.shape[0]! * x.shape[1]!;
  const weight = b.node("Reshape", [scale, b.int64([channels, 1, 1, 1])]);
  const bias = shift === undefined ? [] : [b.node("Reshape", [shift, b.int64([channels])])];
  const inputs = [merged(b, blocked(b, at, x), x.shape), weight, ...bias];
  const y = b.node("Conv", inputs, perChannel(channels, [1, 1]), NCHWC);
  return at.mark(b.node("Reshape", [y, b.int64(x.shape)]), "picture");
}

/** x + 1 */
export function plusOne(b: Builder, at: Layouts, x: Named): string {
  const channels = x.shape[0]! * x.shape[1]!;
  const ones = b.floats([channels], new Float32Array(channels).fill(1));
  return affine(b, at, x, ones, ones);
}

/** Means over pixels: [B,C]. */
export function pixelMeans(b: Builder, at: Layouts, x: Named): string {
  return at.once(`means of ${blocked(b, at, x)}`, () => {
    const means = b.node("GlobalAveragePool", [blocked(b, at, x)], {}, NCHWC);
    return b.node("Reshape", [means, b.int64(x.shape.slice(0, 2))]);
  });
}

/** Sums of x * y over pixels: [B,C]. */
export function pixelDots(b: Builder, at: Layouts, x: Named, y: string): string {
  const [batch, c, h, w] = x.shape as [number, number, number, number];
  const kernel = b.node("Reshape", [y, b.int64([batch * c, 1, h, w])]);
  const inputs = [merged(b, blocked(b, at, x), x.shape), kernel];
  const dots = b.node("Conv", inputs, perChannel(batch * c, [h, w]), NCHWC);
  return b.node("Reshape", [dots, b.int64([batch, c])]);
}

/** What the sums over one group's pixels are divided by: the numbers of a group. */
export interface Groups {
  readonly groups: number;
  readonly eps: number;
}

/** What forward and backward know of x: [B,C] each but `inverse` and `mean`, [B,G,1]. */
interface Statistics {
  /** x minus the mean of its channel. */
  readonly centred: string;
  /** Mean of the channel minus the mean of the group: [B,G,C/G]. */
  readonly offset: string;
  /** Mean of the group. */
  readonly mean: string;
  /** 1 / sqrt(variance + eps) of the group. */
  readonly inverse: string;
}

/** Mean and deviation of groups of channels; squares are taken around means, so nothing cancels. */
function statistics(b: Builder, at: Layouts, x: Named, { groups, eps }: Groups): Statistics {
  const [batch, c, h, w] = x.shape as [number, number, number, number];
  const key = `${blocked(b, at, x)} in ${groups}`;
  const members = b.int64([batch, groups, c / groups]);
  const means = pixelMeans(b, at, x);
  const grouped = b.node("Reshape", [means, members]);
  const mean = at.once(`mean of ${key}`, () =>
    b.node("ReduceMean", [grouped, b.int64([2])], { keepdims: 1 }),
  );
  const offset = at.once(`offset of ${key}`, () => b.node("Sub", [grouped, mean]));
  const ones = b.floats([batch * c], new Float32Array(batch * c).fill(1));
  const centred = affine(b, at, x, ones, b.node("Neg", [means]));
  const inverse = at.once(`deviation of ${key} ${eps}`, () => {
    const squares = pixelDots(b, at, { name: centred, shape: x.shape }, centred);
    const spread = b.node("Mul", [
      b.node("Reshape", [squares, members]),
      b.floats([], [1 / (h * w)]),
    ]);
    const between = b.node("Mul", [offset, offset]);
    const sum = b.node("Add", [spread, between]);
    const variance = b.node("ReduceMean", [sum, b.int64([2])], { keepdims: 1 });
    const deviation = b.node("Sqrt", [b.node("Add", [variance, b.floats([], [eps])])]);
    return b.node("Reciprocal", [deviation]);
  });
  return { centred, offset, mean, inverse };
}

/** Group normalisation of blocked x [B,C,H,W]. */
export function groupNorm(
  b: Builder,
  at: Layouts,
  x: Named,
  [weight, bias]: readonly [string, string],
  spec: Groups,
): string {
  const c = x.shape[1]!;
  const { groups } = spec;
  const { mean, inverse } = statistics(b, at, x, spec);
  const of = (name: string): string => b.node("Reshape", [name, b.int64([groups, c / groups])]);
  const scale = b.node("Mul", [inverse, of(weight)]); // [B,G,C/G]
  const shift = b.node("Sub", [of(bias), b.node("Mul", [scale, mean])]);
  return affine(b, at, x, scale, shift);
}

/** [B,G,C/G] sums over pixels of dy, and of dy times the normalised x. */
function gradientSums(
  b: Builder,
  at: Layouts,
  x: Named,
  dy: Named,
  spec: Groups,
): { readonly dySum: string; readonly normalSum: string; readonly from: Statistics } {
  const [batch, c, h, w] = x.shape as [number, number, number, number];
  const from = statistics(b, at, x, spec);
  const members = b.int64([batch, spec.groups, c / spec.groups]);
  const key = `${blocked(b, at, dy)} by ${blocked(b, at, x)} in ${spec.groups} ${spec.eps}`;
  const pixels = b.floats([], [h * w]);
  const dySum = at.once(`sum of ${key}`, () =>
    b.node("Mul", [b.node("Reshape", [pixelMeans(b, at, dy), members]), pixels]),
  );
  const normalSum = at.once(`normal sum of ${key}`, () => {
    const dots = pixelDots(b, at, dy, from.centred);
    const around = b.node("Mul", [from.offset, dySum]);
    return b.node("Mul", [
      from.inverse,
      b.node("Add", [b.node("Reshape", [dots, members]), around]),
    ]);
  });
  return { dySum, normalSum, from };
}

/** dx of group normalisation: dy A + x B + C, by channel of each picture. */
export function groupNormGrad(
  b: Builder,
  at: Layouts,
  [x, weight, dy]: readonly [Named, string, Named],
  spec: Groups,
): string {
  const [, c, h, w] = x.shape as [number, number, number, number];
  const { groups } = spec;
  const { dySum, normalSum, from } = gradientSums(b, at, x, dy, spec);
  const { inverse, mean } = from;
  const gamma = b.node("Reshape", [weight, b.int64([groups, c / groups])]);
  const perGroup = b.floats([], [1 / ((c / groups) * h * w)]);
  const groupMean = (v: string): string => {
    const sum = b.node("ReduceSum", [b.node("Mul", [v, gamma]), b.int64([2])], { keepdims: 1 });
    return b.node("Mul", [sum, perGroup]);
  };
  const square = b.node("Mul", [inverse, inverse]);
  const slope = b.node("Neg", [b.node("Mul", [square, groupMean(normalSum)])]); // [B,G,1]
  const level = b.node("Mul", [inverse, groupMean(dySum)]);
  const shift = b.node("Neg", [b.node("Add", [level, b.node("Mul", [slope, mean])])]);
  const members = b.int64([x.shape[0]!, groups, c / groups]);
  const spread = (v: string): string => b.node("Expand", [v, members]);
  const fromDy = affine(b, at, dy, b.node("Mul", [inverse, gamma]), spread(shift));
  const fromX = affine(b, at, x, spread(slope));
  return at.mark(b.node("Add", [fromDy, fromX]), "picture");
}

/** How a loss changes with the weight of a group normalisation: [C]. */
export function groupNormWeightGrad(
  b: Builder,
  at: Layouts,
  [x, dy]: readonly [Named, Named],
  spec: Groups,
): string {
  const { normalSum } = gradientSums(b, at, x, dy, spec);
  const sum = b.node("ReduceSum", [normalSum, b.int64([0])], { keepdims: 0 });
  return b.node("Reshape", [sum, b.int64([x.shape[1]!])]);
}

/**
 * dy s (1 + k (x - y)) with s = sigmoid(k x): the gradient of y = x s. All in one order of memory;
 * `plusOne` adds 1 last, so that it is not lost beside a large x.
 */
export function sigmoidUnitGrad(
  b: Builder,
  [x, y, dy]: readonly [string, string, string],
  k: number,
  plusOne: (name: string) => string,
): string {
  const factor = b.floats([], [k]);
  const times = (v: string): string => (k === 1 ? v : b.node("Mul", [v, factor]));
  const scaled = times(x);
  const slope = plusOne(b.node("Sub", [scaled, times(y)]));
  return b.node("Mul", [b.node("Mul", [slope, b.node("Sigmoid", [scaled])]), dy]);
}
