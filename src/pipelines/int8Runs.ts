import type { OutputRanges } from "../checkpoints/index.js";
import { INT8_PARAMS } from "../nn/int8.js";
import type { Program } from "../runtime/engine.js";
import { readTensor } from "../tensor/convert.js";
import { type Tensor, tensor } from "../tensor/tensor.js";
import { TintypeError } from "../util/errors.js";
import { type Int8Program, LEAST_RANGE, PEAKS, type Peaks, RANGES } from "./int8.js";

/*
 * Runs of programs in 8 bits: over ranges that are known, and finding them out.
 */

/** Largest magnitudes by the path of a layer. */
type Magnitudes = Map<string, Float32Array<ArrayBuffer>>;

type Tensors = Readonly<Record<string, Tensor>>;

/** Multiples of a weight's norm to begin with, twelve deviations of inputs around 1, and the smallest. */
const FIRST_FACTOR = 12;
const LEAST_FACTOR = FIRST_FACTOR / 2048;

/** How full a range may be before results may have been cut, and must be for them to be told apart. */
const FULL = 0.99;
const EMPTY = 1 / 16;

/** Share of channels that may be cut once their ranges are nearly known: a run costs more than that. */
const FEW = 0.02;

/** No network's results are this far beyond what their weights suggest. */
const ATTEMPTS = 40;

/** Attempts that may narrow ranges; then they only grow, and so come to an end. */
const NARROWING = 8;

/** A program over ranges that are known. */
export function overRanges(
  program: Program,
  { layers }: Int8Program,
  ranges: OutputRanges,
): Program {
  const fed = joined(layers, ranges);
  return {
    ...program,
    async run(inputs) {
      const { [PEAKS]: _, ...outputs } = await program.run({ ...inputs, ...fed });
      return outputs;
    },
  };
}

/**
 * A program that finds its ranges out and notes in `peaks` how large results were. It runs again, over
 * wider ranges, until nothing is cut, or, once ranges are nearly known, next to nothing; the first time
 * also over narrower ones, and before that on a small piece of what it is fed. Running throws "bad-file"
 * where results are not finite.
 */
export function observed(
  program: Program,
  { layers, weights }: Int8Program,
  peaks: Peaks,
): Program {
  let ranges: Magnitudes | undefined;
  const norms: Magnitudes = new Map();
  const channels = [...layers.values()].reduce((n, count) => n + count, 0);
  const begin = async (): Promise<Magnitudes> => {
    for (const path of layers.keys())
      norms.set(path, (await readTensor(weights.get(`${path}.${INT8_PARAMS.norm}`)!)).data);
    return new Map([...norms].map(([path, norm]) => [path, norm.map((x) => FIRST_FACTOR * x)]));
  };
  /** Runs until ranges fit all but so many channels. */
  const settle = async (own: Magnitudes, inputs: Tensors, narrows: boolean, misfits: number) => {
    let cut = "";
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const { [PEAKS]: taken, ...outputs } = await program.run({
        ...inputs,
        ...joined(layers, own),
      });
      const seen = parted(layers, taken?.data ?? new Float32Array());
      requireFinite(outputs, seen);
      let changes = 0;
      for (const [path, peak] of seen) {
        const norm = narrows && attempt < NARROWING ? norms.get(path)! : undefined;
        const { full, empty } = adapt(own.get(path)!, peak, norm);
        if (full > 0) cut = path;
        changes += full + empty;
      }
      if (changes <= misfits) return { outputs, seen };
    }
    throw notFinite(cut);
  };
  return {
    ...program,
    async run(inputs) {
      const few = FEW * channels;
      const isFirst = ranges === undefined;
      ranges ??= await begin();
      const piece = isFirst ? pieceOf(inputs) : undefined;
      if (piece) await settle(ranges, piece, true, few);
      const misfits = isFirst && !piece ? 0 : few;
      const { outputs, seen } = await settle(ranges, inputs, isFirst, misfits);
      for (const [path, peak] of seen) note(peaks, path, peak, ranges.get(path)!);
      return outputs;
    },
  };
}

/** Latents a side of which ranges are first found out: a run of them takes next to no time. */
const PIECE = 16;

/** The middle of the latents, with all else that is fed; undefined where that is not much less. */
function pieceOf(inputs: Tensors): Tensors | undefined {
  const maps = Object.entries(inputs).filter(([, { shape }]) => shape.length === 4);
  if (maps.length !== 1) return undefined;
  const [name, { shape, data }] = maps[0]!;
  const [batch, channels, height, width] = shape as [number, number, number, number];
  const [h, w] = [Math.min(height, PIECE), Math.min(width, PIECE)];
  if (2 * h * w > height * width) return undefined;
  const [top, left] = [(height - h) >> 1, (width - w) >> 1];
  const rows = Array.from({ length: batch * channels * h }, (_, row) => {
    const at = (Math.floor(row / h) * height + top + (row % h)) * width + left;
    return data.subarray(at, at + w);
  });
  const middle = new Float32Array(rows.length * w);
  for (const [row, numbers] of rows.entries()) middle.set(numbers, row * w);
  return { ...inputs, [name]: tensor([batch, channels, h, w], middle) };
}

/** Magnitudes of all layers as they are fed; nothing where no layer has ranges. */
function joined(layers: Int8Program["layers"], of: OutputRanges): Record<string, Tensor> {
  if (layers.size === 0) return {};
  const all = [...layers.keys()].flatMap((path) => [...of.get(path)!]);
  const data = Float32Array.from(all, (x) => Math.max(x, LEAST_RANGE));
  return { [RANGES]: tensor([data.length], data) };
}

/** The same as they come back. */
function parted(layers: Int8Program["layers"], data: Float32Array<ArrayBuffer>): Magnitudes {
  let at = 0;
  return new Map(
    [...layers].map(([path, channels]) => {
      at += channels;
      return [path, data.slice(at - channels, at)];
    }),
  );
}

const notFinite = (where: string): TintypeError =>
  new TintypeError(
    "bad-file",
    `int8: the network's numbers are not finite at ${where}, so that none fit 8 bits. Its weights may be ` +
      "damaged: look at a picture that is drawn with --dtype fp32.",
  );

function requireFinite(outputs: Readonly<Record<string, Tensor>>, seen: Magnitudes): void {
  const all = [
    ...seen,
    ...Object.entries(outputs).map(([name, { data }]) => [name, data] as const),
  ];
  for (const [where, data] of all) if (!data.every(Number.isFinite)) throw notFinite(where);
}

/**
 * Widens ranges that are full, a little or, where they may be narrowed again, by far: their results are
 * taken to fill what they get. With the norms of weights, narrows those that are nearly empty, down to a
 * share of these. Answers how many of either there were.
 */
function adapt(
  range: Float32Array,
  peak: Float32Array,
  norm: Float32Array | undefined,
): { readonly full: number; readonly empty: number } {
  let [full, empty] = [0, 0];
  for (const [i, taken] of peak.entries()) {
    const known = Math.max(range[i]!, LEAST_RANGE);
    if (taken >= FULL * known) {
      range[i]! *= norm ? 4 : 2;
      peak[i] = range[i]!;
      full++;
    } else if (norm && taken < EMPTY * known) {
      // What takes less than a unit is at least 64 times too small.
      const narrower = Math.max(2 * taken, known / 64, LEAST_FACTOR * norm[i]!, LEAST_RANGE);
      if (narrower >= known) continue;
      range[i] = narrower;
      empty++;
    }
  }
  return { full, empty };
}

/**
 * Keeps what was seen; results are known to within a unit. The next ones may be twice as large and need
 * not be worked out again.
 */
function note(peaks: Peaks, path: string, seen: Float32Array, range: Float32Array): void {
  const known = peaks.get(path) ?? new Float32Array(seen.length);
  peaks.set(
    path,
    known.map((x, i) => Math.max(x, seen[i]!, range[i]! / 127)),
  );
  for (const [i, taken] of seen.entries()) range[i] = Math.max(range[i]!, 2 * taken);
}

/**
 * A program in 8 bits whose answers are as little finite as what it is fed: whole numbers know neither
 * infinity nor what is no number, and would turn them into some result.
 */
export function honest(program: Program): Program {
  const known = new WeakSet<Float32Array>(); // texts are fed in each step
  const hasNumbers = ({ data }: Tensor): boolean => {
    if (known.has(data)) return true;
    let sum = 0;
    for (const x of data) sum += 0 * x;
    if (sum === 0) known.add(data);
    return sum === 0;
  };
  return {
    ...program,
    async run(inputs) {
      const outputs = await program.run(inputs);
      if (Object.values(inputs).every(hasNumbers)) return outputs;
      const broken = Object.entries(outputs).map(([name, { shape, data }]) => [
        name,
        tensor(shape, new Float32Array(data.length).fill(Number.NaN)),
      ]);
      return Object.fromEntries(broken);
    },
  };
}
