import type { ModelFiles } from "../src/checkpoints/index.js";
import type { Graph } from "../src/graph/graph.js";
import { int8Params, roundedWeight } from "../src/nn/int8.js";
import type { Params } from "../src/nn/params.js";
import { decoderGraph, unetGraph } from "../src/pipelines/graphs.js";
import {
  type Int8Part,
  int8Program,
  keepsOf,
  type Peaks,
  rangesOf,
  type WeightLimit,
} from "../src/pipelines/int8.js";
import { observed, overRanges } from "../src/pipelines/int8Runs.js";
import type { Engine, Program } from "../src/runtime/engine.js";
import type { Tensor } from "../src/tensor/tensor.js";

/*
 * Layers of a UNet and of a decoder by what they are, so that one sees what it costs to compute each kind
 * in 8 bits.
 */

/** Layers of one kind, by their path. */
export interface LayerGroup {
  readonly title: string;
  readonly holds: RegExp;
}

export const GROUPS: Readonly<Record<Int8Part, readonly LayerGroup[]>> = {
  unet: [
    { title: "convolutions of ResNet blocks", holds: /\.resnets\.\d+\.conv[12]$/ },
    { title: "shortcuts of ResNet blocks", holds: /\.conv_shortcut$/ },
    { title: "downsamplers and upsamplers", holds: /samplers\.0\.conv$/ },
    { title: "proj_in and proj_out", holds: /\.proj_(in|out)$/ },
    { title: "self-attention: q and k", holds: /\.attn1\.to_[qk]$/ },
    { title: "self-attention: v and out", holds: /\.attn1\.to_(v|out\.0)$/ },
    { title: "cross-attention: q and k", holds: /\.attn2\.to_[qk]$/ },
    { title: "cross-attention: v and out", holds: /\.attn2\.to_(v|out\.0)$/ },
    { title: "feed-forward, first", holds: /\.ff\.net\.0\.proj$/ },
    { title: "feed-forward, second", holds: /\.ff\.net\.2$/ },
    { title: "conv_in and conv_out (kept)", holds: /^conv_(in|out)$/ },
    { title: "time embedding (kept)", holds: /^time_embedding\.|\.time_emb_proj$/ },
  ],
  decoder: [
    { title: "convolutions of ResNet blocks", holds: /\.resnets\.\d+\.conv[12]$/ },
    { title: "shortcuts of ResNet blocks", holds: /\.conv_shortcut$/ },
    { title: "upsamplers", holds: /samplers\.0\.conv$/ },
    { title: "attention", holds: /\.attentions\.0\.to_(q|k|v|out\.0)$/ },
    {
      title: "conv_in, conv_out, post_quant_conv (kept)",
      holds: /(^|\.)(conv_(in|out)|post_quant_conv)$/,
    },
  ],
};

const graphOfPart =
  ({ unet, vae }: ModelFiles, part: Int8Part) =>
  (p: Params): Graph =>
    part === "unet" ? unetGraph(unet.config, p) : decoderGraph(vae.config, p);

/** Paths of a part's layers and the numbers in their weights. Throws unless each is in one group. */
export function layersOf(files: ModelFiles, part: Int8Part): ReadonlyMap<string, number> {
  const { params } = graphOfPart(files, part)(int8Params({ keeps: () => false }));
  const layers = new Map<string, number>();
  for (const [name, { shape }] of params) {
    const path = roundedWeight(name)?.path;
    if (path === undefined) continue;
    layers.set(path, (layers.get(path) ?? 0) + (shape as number[]).reduce((n, d) => n * d, 1));
  }
  for (const path of layers.keys()) {
    const groups = GROUPS[part].filter(({ holds }) => holds.test(path));
    if (groups.length !== 1) throw new Error(`${path} is in ${groups.length} groups`);
  }
  return layers;
}

/** One call of a part and what it answers in float32. */
export interface Call {
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly answer: Tensor;
}

/** Loads a part with the layers that `keeps` does not keep in 8 bits. */
export type PartLoader = (keeps: (path: string) => boolean) => Promise<Program>;

/** Measures ranges of all layers on these inputs, and loads a part over them. */
export async function partLoader(
  files: ModelFiles,
  part: Int8Part,
  { engine, limit }: { engine: Engine; limit: WeightLimit },
  seen: readonly Call["inputs"][],
): Promise<PartLoader> {
  const trace = graphOfPart(files, part);
  const options = {
    label: `${part} of ${files.name}`,
    once: true,
  };
  // Kept layers would spoil what the others see.
  const peaks: Peaks = new Map();
  for (const keeps of [() => false, keepsOf(part)]) {
    const own: Peaks = new Map();
    const int8 = int8Program(files, part, limit, trace, keeps);
    await using program = observed(await engine.load(int8.graph, int8.weights, options), int8, own);
    for (const inputs of seen) await program.run(inputs);
    for (const [path, peak] of own) peaks.set(path, peak);
  }
  const ranges = rangesOf(peaks, ROOM);
  return async (keeps) => {
    const int8 = int8Program(files, part, limit, trace, keeps);
    return overRanges(await engine.load(int8.graph, int8.weights, options), int8, ranges);
  };
}

/** As the first picture in int8 has it, after one prompt. */
const ROOM = 2;

/** 10 log10 of the signal's power over that of what differs. */
export function signalToNoise(signal: Float32Array, other: Float32Array): number {
  let [power, noise] = [0, 0];
  for (const [i, x] of signal.entries()) {
    power += x ** 2;
    noise += (x - other[i]!) ** 2;
  }
  return 10 * Math.log10(power / noise);
}

/** What it costs to compute some layers in 8 bits, all dB. */
export interface Cost {
  /** Of the part's output at each call. */
  readonly calls: readonly number[];
  /** Of the final latents; undefined for a part that they do not depend on. */
  readonly latents: number | undefined;
}

export interface GroupCost {
  readonly title: string;
  readonly layers: number;
  /** Numbers in their weights. */
  readonly weights: number;
  /** With these alone in 8 bits. */
  readonly alone: Cost;
  /** With all that are not kept in 8 bits but these; undefined for a group that is kept. */
  readonly allBut: Cost | undefined;
}

/** Costs of all groups of a part, and of all layers that int8 computes in 8 bits. */
export async function costsOf(
  files: ModelFiles,
  part: Int8Part,
  loader: PartLoader,
  measure: (program: Program) => Promise<Cost>,
  told: (title: string) => void,
): Promise<{ readonly all: Cost; readonly groups: readonly GroupCost[] }> {
  const cost = async (keeps: (path: string) => boolean): Promise<Cost> => {
    await using program = await loader(keeps);
    return await measure(program);
  };
  const layers = [...layersOf(files, part)];
  const kept = keepsOf(part);
  told("all");
  const all = await cost(kept);
  const groups: GroupCost[] = [];
  for (const { title, holds } of GROUPS[part]) {
    const own = layers.filter(([path]) => holds.test(path));
    if (own.length === 0) continue;
    told(title);
    const alone = await cost((path) => !holds.test(path));
    const isKept = own.every(([path]) => kept(path));
    groups.push({
      title,
      layers: own.length,
      weights: own.reduce((sum, [, count]) => sum + count, 0),
      alone,
      allBut: isKept ? undefined : await cost((path) => kept(path) || holds.test(path)),
    });
  }
  return { all, groups };
}
