import { int8Weights, type ModelFiles, type OutputRanges } from "../checkpoints/index.js";
import { int8Linear } from "../graph/composites.js";
import { type Graph, graphOf } from "../graph/graph.js";
import * as op from "../graph/ops.js";
import type { Value } from "../graph/value.js";
import { INT8_PARAMS, type Int8Options, int8Params } from "../nn/int8.js";
import type { Params } from "../nn/params.js";
import type { Engine } from "../runtime/engine.js";
import { type StoredTensors, storedInMemory } from "../tensor/stored.js";
import { full } from "../tensor/tensor.js";
import { memorySource } from "../util/bytes.js";
import { decoderGraph, unetGraph } from "./graphs.js";
import type { Handover } from "./handover.js";

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
  /** Programs that found out ranges, for the model that is drawn with. */
  readonly handover?: Handover | undefined;
} & ({ readonly ranges: Int8Ranges } | { readonly peaks: Readonly<Record<Int8Part, Peaks>> });

/**
 * One part in 8 bits: its graph and the weights that it asks for. The graph is fed the ranges of its
 * convolutions and tells how much of them was taken, so that one program finds them out and uses them.
 */
export interface Int8Program {
  readonly graph: Graph;
  readonly weights: StoredTensors;
  /** The same over ranges that are parameters, which tells nothing: what it takes of memory. */
  readonly plain: Graph;
  /** Convolutions in the order of their ranges, with their channels. */
  readonly layers: ReadonlyMap<string, number>;
}

/** Whether sums of two products of 8-bit numbers saturate on this processor decides the limit. */
export type WeightLimit = 127 | 63;

/** What ranges are fed as, and how much of them was taken comes back as: all layers' channels [N]. */
export const RANGES = "ranges";
export const PEAKS = "peaks";

/** A part, or a program of it: what `trace` makes. */
export function int8Program(
  files: ModelFiles,
  part: Int8Part,
  limit: WeightLimit,
  trace: (p: Params) => Graph,
  keeps: Int8Options["keeps"] = keepsOf(part),
): Int8Program {
  const plain = trace(int8Params({ keeps }));
  const layers = ranged(plain);
  const count = [...layers.values()].reduce((n, channels) => n + channels, 0);
  const fed = op.input(RANGES, [count]);
  const own = new Map<string, Value>();
  let at = 0;
  for (const [path, channels] of layers) {
    own.set(path, op.slice(fed, 0, at, channels));
    at += channels;
  }
  const peaks = new Map<string, Value>();
  const observer: Int8Options["observer"] = {
    range: (path) => own.get(path),
    peak: (path, peak) => peaks.set(path, peak),
  };
  const { outputs } = trace(int8Params({ keeps, observer }));
  const all = [...layers.keys()].map((path) => peaks.get(path)!);
  const graph = graphOf(count > 0 ? { ...outputs, [PEAKS]: op.concat(all, 0) } : outputs);
  const weights = int8Weights(graph, weightsOf(files, part), { limit, ranges: new Map() });
  return { graph, weights, plain, layers };
}

/** Whether a layer of a part stays in float32. */
export const keepsOf =
  (part: Int8Part): Int8Options["keeps"] =>
  (path) =>
    KEPT[part].test(path);

/** Layers of a part whose results have ranges, with their channels. */
export function rangedLayers(files: ModelFiles, part: Int8Part): ReadonlyMap<string, number> {
  const p = int8Params({ keeps: keepsOf(part) });
  return ranged(
    part === "unet" ? unetGraph(files.unet.config, p) : decoderGraph(files.vae.config, p),
  );
}

function ranged({ params }: Graph): ReadonlyMap<string, number> {
  const suffix = `.${INT8_PARAMS.range}`;
  return new Map(
    [...params]
      .filter(([name]) => name.endsWith(suffix))
      .map(([name, { shape }]) => [name.slice(0, -suffix.length), shape[0] as number]),
  );
}

const weightsOf = (files: ModelFiles, part: Int8Part): StoredTensors =>
  (part === "unet" ? files.unet : files.vae).weights;

/** No range is smaller, those of channels that give nothing included: results are divided by it. */
export const LEAST_RANGE = 1e-20;

/** Largest magnitudes seen so far, by the path of a layer. */
export type Peaks = Map<string, Float32Array<ArrayBuffer>>;

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
