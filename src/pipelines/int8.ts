import {
  int8Weights,
  type ModelFiles,
  type OutputRanges,
  type SettlePlatform,
} from "../checkpoints/index.js";
import { int8Linear } from "../graph/composites.js";
import { type Graph, graphOf } from "../graph/graph.js";
import * as op from "../graph/ops.js";
import type { Value } from "../graph/value.js";
import { INT8_PARAMS, type Int8Options, int8Params } from "../nn/int8.js";
import type { Params } from "../nn/params.js";
import type { Engine, Program } from "../runtime/engine.js";
import { type StoredTensors, storedInMemory } from "../tensor/stored.js";
import { full, type Tensor, tensor } from "../tensor/tensor.js";
import { memorySource } from "../util/bytes.js";
import { TintypeError } from "../util/errors.js";
import { decoderGraph, unetGraph } from "./graphs.js";

/** Parts that can be computed in 8 bits; text encoder and VAE encoder take little time. */
export type Int8Part = "unet" | "decoder";

export const INT8_PARTS: readonly Int8Part[] = ["unet", "decoder"];

/** Largest magnitudes of what the convolutions of each part give. */
export type Int8Ranges = Readonly<Record<Int8Part, OutputRanges>>;

/** Layers that see few channels or decide much stay in float32: first, last, and what knows the time. */
const KEPT: Readonly<Record<Int8Part, RegExp>> = {
  unet: /^(conv_in|conv_out|time_embedding\..*|.*\.time_emb_proj)$/,
  decoder: /^(post_quant_conv|decoder\.conv_in|decoder\.conv_out)$/,
};

/** How a model is computed in 8 bits: over ranges that are known, or finding them out. */
export type Int8Mode = {
  readonly limit: WeightLimit;
  /** Where rounded weights are put while a program is compiled; they stay in memory without it. */
  readonly platform?: SettlePlatform | undefined;
} & ({ readonly ranges: Int8Ranges } | { readonly peaks: Readonly<Record<Int8Part, Peaks>> });

/** One part in 8 bits: its graph and the weights that it asks for. */
export interface Int8Program {
  readonly graph: Graph;
  readonly weights: StoredTensors;
}

/** Whether sums of two products of 8-bit numbers saturate on this processor decides the limit. */
export type WeightLimit = 127 | 63;

/** A part over ranges that are known, or a program of it: what `trace` makes. */
export function int8Program(
  files: ModelFiles,
  part: Int8Part,
  ranges: OutputRanges,
  limit: WeightLimit,
  trace: (p: Params) => Graph,
  keeps: Int8Options["keeps"] = keepsOf(part),
): Int8Program {
  const graph = trace(int8Params({ keeps }));
  return { graph, weights: int8Weights(graph, weightsOf(files, part), { limit, ranges }) };
}

/** Whether a layer of a part stays in float32. */
export const keepsOf =
  (part: Int8Part): Int8Options["keeps"] =>
  (path) =>
    KEPT[part].test(path);

/** Layers of a part whose results have ranges, with their channels. */
export function rangedLayers(files: ModelFiles, part: Int8Part): ReadonlyMap<string, number> {
  const p = int8Params({ keeps: keepsOf(part) });
  const { params } =
    part === "unet" ? unetGraph(files.unet.config, p) : decoderGraph(files.vae.config, p);
  const suffix = `.${INT8_PARAMS.range}`;
  return new Map(
    [...params]
      .filter(([name]) => name.endsWith(suffix))
      .map(([name, { shape }]) => [name.slice(0, -suffix.length), shape[0] as number]),
  );
}

const weightsOf = (files: ModelFiles, part: Int8Part): StoredTensors =>
  (part === "unet" ? files.unet : files.vae).weights;

const FACTOR = "factor:";
const PEAK = "peak:";
const SHARE = "share:";

/** No range is smaller, those of channels that give nothing included: results are divided by it. */
export const LEAST_RANGE = 1e-20;

/**
 * A part that tells what its convolutions give. Ranges are fed as multiples of the norms of weights; it
 * answers largest magnitudes, at least one unit, and what share of the range they are.
 */
export function observingProgram(
  files: ModelFiles,
  part: Int8Part,
  limit: WeightLimit,
  trace: (p: Params) => Graph,
  keeps: Int8Options["keeps"] = keepsOf(part),
): Int8Program {
  const results = new Map<string, { readonly result: Value; readonly range: Value }>();
  const observer: Int8Options["observer"] = {
    range: (path, norms) =>
      op.max(op.mul(op.input(`${FACTOR}${path}`, norms.shape), norms), LEAST_RANGE),
    result: (path, result, range) => results.set(path, { result, range }),
  };
  const plain = trace(int8Params({ keeps, observer }));
  const outputs: Record<string, Value> = { ...plain.outputs };
  for (const [path, { result, range }] of results) {
    if (!plain.inputs.has(`${FACTOR}${path}`)) continue; // traced on the way, and not part of it
    const peak = op.reshape(op.reduceMax(op.abs(result), [0, 2, 3]), range.shape);
    outputs[`${PEAK}${path}`] = op.max(peak, op.mul(range, 1 / 127));
    outputs[`${SHARE}${path}`] = op.div(peak, range);
  }
  const graph = graphOf(outputs);
  const weights = int8Weights(graph, weightsOf(files, part), { limit, ranges: new Map() });
  return { graph, weights };
}

/** Largest magnitudes seen so far, by the path of a layer. */
export type Peaks = Map<string, Float32Array<ArrayBuffer>>;

/** Multiples of a weight's norm to begin with, six deviations of inputs around 1, and the smallest. */
const FIRST_FACTOR = 6;
const LEAST_FACTOR = FIRST_FACTOR / 1024;

/** How full a range may be before results may have been cut, and must be for them to be told apart. */
const FULL = 0.99;
const EMPTY = 0.25;

/** No network's results are this far beyond what their weights suggest. */
const ATTEMPTS = 40;

/** Attempts that may narrow ranges; then they only grow, and so come to an end. */
const NARROWING = 8;

/**
 * An observing program as one that gives the part's own results: it runs again, over wider ranges, until
 * nothing is cut, the first time also over narrower ones, and notes in `peaks` how large results were.
 * Running throws "bad-file" where they are not finite.
 */
export function observed(program: Program, { graph }: Int8Program, peaks: Peaks): Program {
  const factors = new Map<string, Float32Array<ArrayBuffer>>();
  for (const [name, { shape }] of graph.inputs)
    if (name.startsWith(FACTOR)) {
      const path = name.slice(FACTOR.length);
      factors.set(path, new Float32Array(shape[0] as number).fill(FIRST_FACTOR));
    }
  const fed = (): Record<string, Tensor> =>
    Object.fromEntries(
      [...factors].map(([path, data]) => [`${FACTOR}${path}`, tensor([data.length], data)]),
    );
  return {
    async run(inputs) {
      let changed: readonly string[] = [];
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const outputs = await program.run({ ...inputs, ...fed() });
        for (const [name, { data }] of Object.entries(outputs)) requireFinite(name, data);
        changed = [...factors.keys()].filter((path) => {
          const narrows = !peaks.has(path) && attempt < NARROWING;
          return adapt(factors.get(path)!, outputs[`${SHARE}${path}`]!.data, narrows);
        });
        if (changed.length > 0) continue;
        for (const path of factors.keys()) note(peaks, path, outputs[`${PEAK}${path}`]!.data);
        return outputs;
      }
      throw notFinite(changed[0]!);
    },
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  };
}

const notFinite = (where: string): TintypeError =>
  new TintypeError(
    "bad-file",
    `int8: the network's numbers are not finite at ${where}, so that none fit 8 bits. Its weights may be ` +
      "damaged: look at a picture that is drawn with --dtype fp32.",
  );

function requireFinite(name: string, data: Float32Array): void {
  if (data.every(Number.isFinite)) return;
  throw notFinite(name.replace(PEAK, "").replace(SHARE, ""));
}

/** Widens factors whose ranges are full and narrows those that are nearly empty; false where none is. */
function adapt(factor: Float32Array, shares: Float32Array, narrows: boolean): boolean {
  const before = factor.slice();
  for (const [i, share] of shares.entries())
    if (share >= FULL) factor[i]! *= 2;
    else if (narrows && share < EMPTY)
      factor[i] = Math.max(factor[i]! * Math.max(2 * share, 1 / 16), LEAST_FACTOR);
  return factor.some((x, i) => x !== before[i]);
}

function note(peaks: Peaks, path: string, seen: Float32Array): void {
  const known = peaks.get(path);
  if (known) for (const [i, x] of seen.entries()) known[i] = Math.max(known[i]!, x);
  else peaks.set(path, new Float32Array(seen));
}

/** Ranges with some room above what was seen. */
export function rangesOf(peaks: Peaks, room: number): OutputRanges {
  const roomy = (peak: number): number => Math.max(room * peak, LEAST_RANGE);
  return new Map([...peaks].map(([path, seen]) => [path, seen.map(roomy)]));
}

/**
 * 63 where the engine's sums of two products saturate, as on x86 processors without VNNI, so that
 * weights must be half as large; 127 elsewhere.
 */
export async function weightLimit(engine: Engine): Promise<WeightLimit> {
  const width = 64;
  const x = op.input("x", [1, width]);
  const [weight, scale] = [op.param("weight", [width, width]), op.param("scale", [width])];
  const graph = graphOf({ sum: int8Linear(x, weight, scale) });
  const largest = new Uint8Array(width * width).fill(127);
  const weights: StoredTensors = new Map([
    ...storedInMemory(new Map([["scale", full([width], 1)]])),
    [
      "weight",
      {
        ...{ dtype: "i8", shape: [width, width], offset: 0, length: largest.length },
        source: memorySource("largest weights", largest),
      },
    ],
  ]);
  await using program = await engine.load(graph, weights, { label: "test of 8-bit products" });
  const { sum } = await program.run({ x: full([1, width], 1) });
  return sum!.data[0]! > 0.99 * 127 * width ? 127 : 63;
}
