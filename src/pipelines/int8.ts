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
import { type Int8Options, int8Params } from "../nn/int8.js";
import type { Params } from "../nn/params.js";
import type { Engine, Program } from "../runtime/engine.js";
import { type StoredTensors, storedInMemory } from "../tensor/stored.js";
import { full, type Tensor, tensor } from "../tensor/tensor.js";
import { memorySource } from "../util/bytes.js";

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
): Int8Program {
  const graph = trace(int8Params({ keeps: keepsOf(part) }));
  return { graph, weights: int8Weights(graph, weightsOf(files, part), { limit, ranges }) };
}

const keepsOf =
  (part: Int8Part): Int8Options["keeps"] =>
  (path) =>
    KEPT[part].test(path);

const weightsOf = (files: ModelFiles, part: Int8Part): StoredTensors =>
  (part === "unet" ? files.unet : files.vae).weights;

const FACTOR = "factor:";
const PEAK = "peak:";
const SHARE = "share:";

/**
 * A part that tells what its convolutions give. Ranges are fed as multiples of the norms of weights; it
 * answers largest magnitudes, and what share of the range they are.
 */
export function observingProgram(
  files: ModelFiles,
  part: Int8Part,
  limit: WeightLimit,
  trace: (p: Params) => Graph,
): Int8Program {
  const results = new Map<string, { readonly result: Value; readonly range: Value }>();
  const observer: Int8Options["observer"] = {
    range: (path, norms) => op.mul(op.input(`${FACTOR}${path}`, norms.shape), norms),
    result: (path, result, range) => results.set(path, { result, range }),
  };
  const plain = trace(int8Params({ keeps: keepsOf(part), observer }));
  const outputs: Record<string, Value> = { ...plain.outputs };
  for (const [path, { result, range }] of results) {
    if (!plain.inputs.has(`${FACTOR}${path}`)) continue; // traced on the way, and not part of it
    const peak = op.reshape(op.reduceMax(op.abs(result), [0, 2, 3]), range.shape);
    outputs[`${PEAK}${path}`] = peak;
    outputs[`${SHARE}${path}`] = op.div(peak, range);
  }
  const graph = graphOf(outputs);
  const weights = int8Weights(graph, weightsOf(files, part), { limit, ranges: new Map() });
  return { graph, weights };
}

/** Largest magnitudes seen so far, by the path of a layer. */
export type Peaks = Map<string, Float32Array<ArrayBuffer>>;

/** Multiples of a weight's norm to begin with: six deviations of inputs around 1. */
const FIRST_FACTOR = 6;

/** How full a range may be before results may have been cut. */
const FULL = 0.99;

/** No network's results are this far beyond what their weights suggest. */
const ATTEMPTS = 40;

/**
 * An observing program as one that gives the part's own results: it runs again, over wider ranges, until
 * nothing is cut, and notes in `peaks` how large results were.
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
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const outputs = await program.run({ ...inputs, ...fed() });
        let cut = false;
        for (const [path, factor] of factors)
          if (widen(factor, outputs[`${SHARE}${path}`]!.data)) cut = true;
        if (cut) continue;
        for (const path of factors.keys()) note(peaks, path, outputs[`${PEAK}${path}`]!.data);
        return outputs;
      }
      throw new Error("int8: the results of a layer are not finite");
    },
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  };
}

/** Doubles the factors whose ranges are full. */
function widen(factor: Float32Array, share: Float32Array): boolean {
  let cut = false;
  for (const [i, s] of share.entries())
    if (s >= FULL) {
      factor[i]! *= 2;
      cut = true;
    }
  return cut;
}

function note(peaks: Peaks, path: string, seen: Float32Array): void {
  const known = peaks.get(path);
  if (known) for (const [i, x] of seen.entries()) known[i] = Math.max(known[i]!, x);
  else peaks.set(path, new Float32Array(seen));
}

/** Ranges with some room above what was seen. */
export function rangesOf(peaks: Peaks, room: number): OutputRanges {
  return new Map([...peaks].map(([path, seen]) => [path, seen.map((x) => room * x)]));
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
