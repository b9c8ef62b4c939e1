import { concatBatch } from "../tensor/elementwise.js";
import { solvePositive } from "../tensor/solve.js";
import { type Tensor, tensor } from "../tensor/tensor.js";
import { crop } from "../tensor/tiles.js";

/*
 * A sample of a picture that stands for all of it: patches spread evenly, and how much each counts.
 */

export interface Sample {
  /** [count,C,side,side] */
  readonly patches: Tensor;
  /** What each patch counts for [count]; they sum to 1. */
  readonly shares: Tensor;
}

/** Patches of `side` places, whose outermost `margin` places count for nothing. */
export interface SampleShape {
  readonly count: number;
  readonly side: number;
  readonly margin: number;
}

/**
 * Takes a sample of x [1,C,H,W]. Shares are such that the sample's means and mean squares of channels
 * come near those of x, so what is measured on the sample and goes along with them comes near too.
 * Source: Deville & Saerndal 1992, calibration estimators, here with ridge-penalised constraints.
 */
export function sampleOf(x: Tensor, { count, side, margin }: SampleShape): Sample {
  const [, , h, w] = x.shape as readonly [number, number, number, number];
  const boxes = spread(count).map(([v, u]) => ({
    top: Math.floor(v * (h - side + 1)),
    left: Math.floor(u * (w - side + 1)),
    height: side,
    width: side,
  }));
  const patches = concatBatch(boxes.map((box) => crop(x, box)));
  const inner = side - 2 * margin;
  const centres = boxes.map(({ top, left }) => {
    const box = { top: top + margin, left: left + margin, height: inner, width: inner };
    return channelMoments(crop(x, box));
  });
  return { patches, shares: tensor([count], calibrated(centres, channelMoments(x))) };
}

/** The plastic number's powers: steps that fill a square most evenly. Source: Roberts 2018, R2. */
const STEPS = [0.7548776662466927, 0.5698402909980532] as const;

/** Points of the unit square; any number of them in a row is spread evenly. */
function spread(count: number): readonly (readonly [number, number])[] {
  const fraction = (v: number): number => v - Math.floor(v);
  return Array.from({ length: count }, (_, i) => [
    fraction(0.5 + i * STEPS[0]),
    fraction(0.5 + i * STEPS[1]),
  ]);
}

/** Runs of channels that are looked at together, as group norms do. */
const RUNS = 32;

/** Means, then mean squares, of up to RUNS runs of channels of x [1,C,H,W]. */
function channelMoments({ shape, data }: Tensor): Float64Array {
  const [, c, h, w] = shape as readonly [number, number, number, number];
  const runs = Math.min(RUNS, c);
  const out = new Float64Array(2 * runs);
  const area = h * w;
  const planes = new Float64Array(runs);
  for (let k = 0; k < c; k++) {
    const run = Math.floor((k * runs) / c);
    let [sum, squares] = [0, 0];
    for (let i = k * area; i < (k + 1) * area; i++) {
      const v = data[i]!;
      sum += v;
      squares += v * v;
    }
    planes[run]!++;
    out[run]! += sum / area;
    out[runs + run]! += squares / area;
  }
  return out.map((v, i) => v / planes[i % runs]!);
}

/** How much closeness to equal shares weighs against meeting the whole's moments. */
const RIDGE = 0.1;

/** Shares, none negative, with which `parts` come near `whole` on average. */
function calibrated(
  parts: readonly Float64Array[],
  whole: Float64Array,
): Float32Array<ArrayBuffer> {
  const [n, m] = [parts.length, whole.length];
  const average = (of: (part: Float64Array) => number): number =>
    parts.reduce((sum, part) => sum + of(part), 0) / n;
  const means = whole.map((_, j) => average((part) => part[j]!));
  const deviations = means.map((mean, j) => Math.sqrt(average((p) => (p[j]! - mean) ** 2)));
  const off = parts.map((part) =>
    part.map((v, j) => (deviations[j] === 0 ? 0 : (v - whole[j]!) / deviations[j]!)),
  );
  const target = whole.map((_, j) => off.reduce((sum, row) => sum + row[j]!, 0) / n);
  const normal = Array.from({ length: m }, (_, j) =>
    Float64Array.from({ length: m }, (_, k) => {
      const product = off.reduce((sum, row) => sum + row[j]! * row[k]!, 0) / n;
      return j === k ? product + RIDGE : product;
    }),
  );
  const pull = solvePositive(normal, target);
  const raw = off.map((row) => Math.max(0, 1 - row.reduce((sum, v, j) => sum + v * pull[j]!, 0)));
  const total = raw.reduce((sum, v) => sum + v, 0);
  return Float32Array.from(raw, (v) => v / total);
}
