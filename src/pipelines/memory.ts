import type { Bindings } from "../graph/dim.js";
import { type Graph, manifest } from "../graph/graph.js";
import { largestActivationBytes, peakActivationBytes } from "../graph/liveness.js";
import { type VaeConfig, vaeFeatures } from "../models/vae/config.js";
import { roundedWeight } from "../nn/int8.js";
import { sizeOf } from "../tensor/tensor.js";
import { TintypeError } from "../util/errors.js";
import { PART_TITLES, type Part } from "./parts.js";
import { patchCount, type TiledPart, type TileProgram } from "./tileGraphs.js";
import { needsTiles, type Tiles, type TilingSettings } from "./tiling.js";
import { unetBindings } from "./unetPrograms.js";

/** Sizes that decide how much memory a run takes. */
export interface RunSize {
  readonly width: number;
  readonly height: number;
  /** Pictures at once. */
  readonly batch: number;
  /** Guidance doubles the UNet's batch. */
  readonly guided: boolean;
}

/** Bytes that one part of a model takes. */
export interface PartMemory {
  readonly weights: number;
  /** Results in flight while it runs. */
  readonly activations: number;
}

/** An autoencoder that works in tiles. */
export interface TiledParts {
  readonly tiles: Tiles;
  readonly config: VaeConfig;
  graph(part: TiledPart, program: TileProgram): Graph;
}

/** What a run is expected to take, in bytes. */
export interface MemoryPrediction {
  readonly parts: Readonly<Record<Part, PartMemory>>;
  /** At the worst moment, with the parts that the run uses. */
  readonly peak: number;
}

/**
 * The engine's buffers over what is strictly alive: it rounds sizes up, keeps freed blocks, and
 * convolutions work in scratch space. Measured on SD 1.5 from 256 to 1280 pixels: 1.2 to 2, and 1.5 to 2.9
 * in 8 bits, where whole numbers are put into blocks that floats then find too small. Results above a GiB
 * get blocks of a power of two, which takes as much more than the least: 2.15 and 3.5 at 1536.
 */
const OVERHEAD = { floats: { usual: 2, least: 1.25 }, int8: { usual: 2.75, least: 2 } };

/** Node.js or the page, the engine, and this library. */
const BASE_BYTES = 200e6;

/** Bytes of a part's weights once loaded, `bytes` to a float and one to a number that is kept in 8 bits. */
export function weightBytes(graph: Graph, bytes: number): number {
  let total = 0;
  for (const [name, shape] of manifest(graph))
    total += sizeOf(shape) * (roundedWeight(name) ? 1 : bytes);
  return total;
}

/** What the engine takes for the results of a run. */
function activationBytes(graph: Graph, bindings: Bindings): number {
  const isRounded = [...manifest(graph).keys()].some((name) => roundedWeight(name));
  const { usual, least } = isRounded ? OVERHEAD.int8 : OVERHEAD.floats;
  const largest = largestActivationBytes(graph, bindings);
  const block = largest > 2 ** 30 ? 2 ** Math.ceil(Math.log2(largest)) : largest;
  return Math.max(usual, (least * block) / largest) * peakActivationBytes(graph, bindings);
}

/**
 * What a run of this size takes beside what is loaded already. `parts` are those it uses;
 * `lowMemory` holds one at a time. With `tiled` the autoencoder works in tiles.
 */
export function predictMemory(
  model: {
    /** Graphs by part; a part may be made of some that run one after the other. */
    readonly graphs: (part: Part) => readonly Graph[];
    readonly factor: number;
  },
  { width, height, batch, guided }: RunSize,
  {
    parts,
    loaded = [],
    lowMemory = false,
    tiled,
  }: {
    readonly parts: readonly Part[];
    readonly loaded?: readonly Part[];
    readonly lowMemory?: boolean;
    readonly tiled?: TiledParts | undefined;
  },
): MemoryPrediction {
  const [h, w] = [height / model.factor, width / model.factor];
  const batches: Record<Part, number> = {
    text: 2,
    unet: guided ? 2 * batch : batch,
    encoder: 1,
    decoder: 1,
  };
  const part = (name: Part): PartMemory => {
    if (tiled && (name === "encoder" || name === "decoder"))
      return tiledMemory(name, tiled, { width, height });
    const bindings = { ...unetBindings(h, w), b: batches[name], p: batch, n: 77 };
    const graphs = model.graphs(name);
    return {
      weights: graphs.reduce((n, graph) => n + weightBytes(graph, 4), 0),
      activations: Math.max(...graphs.map((graph) => activationBytes(graph, bindings))),
    };
  };
  const all: Record<Part, PartMemory> = {
    text: part("text"),
    unet: part("unet"),
    encoder: part("encoder"),
    decoder: part("decoder"),
  };
  const used = parts.map((name) => {
    const { weights, activations } = all[name];
    return { weights: loaded.includes(name) ? 0 : weights, activations };
  });
  const peak = lowMemory
    ? Math.max(...used.map((p) => p.weights + p.activations))
    : used.reduce((n, p) => n + p.weights, 0) + Math.max(...used.map((p) => p.activations));
  return { parts: all, peak: peak + BASE_BYTES };
}

/**
 * Of an encoder or a decoder in tiles: its programs follow one another and are freed, while the
 * features between its halves, and the picture, lie on the host.
 */
function tiledMemory(
  part: TiledPart,
  { tiles, config, graph }: TiledParts,
  { width, height }: Pick<RunSize, "width" | "height">,
): PartMemory {
  const { factor, encoderChannels, decoderChannels } = vaeFeatures(config);
  const [h, w] = [height / factor, width / factor];
  const side = tiles.tile / factor;
  const coarser = part === "encoder" ? 1 : 2 ** (config.blockOutChannels.length - 1) / factor;
  const sizes: Readonly<Record<TileProgram, Record<string, number>>> = {
    coarse: { b: 1, h: h / coarser, w: w / coarser },
    statistics: { b: patchCount(side) },
    fine: { b: 1, h: Math.min(h, side), w: Math.min(w, side) },
  };
  const programs = Object.entries(sizes).map(([name, size]) => {
    const one = graph(part, name as TileProgram);
    return { weights: weightBytes(one, 4), activations: activationBytes(one, size) };
  });
  const channels = part === "encoder" ? encoderChannels : decoderChannels;
  const kept = 4 * (channels * h * w + config.inChannels * width * height);
  return {
    weights: Math.max(...programs.map((p) => p.weights)),
    activations: kept + Math.max(...programs.map((p) => p.activations)),
  };
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

/** Throws "out-of-memory", with what would help, when a run would take more than there is. */
export function requireMemory(
  { peak, parts }: MemoryPrediction,
  available: number,
  { width, height, batch }: RunSize,
  lowMemory: boolean,
  more: readonly string[] = [],
): void {
  if (peak <= available) return;
  const largest = (Object.keys(parts) as Part[]).sort(
    (a, b) => parts[b].activations - parts[a].activations,
  )[0]!;
  const help = [
    `a smaller picture (the ${PART_TITLES[largest]} alone would need ` +
      `${gigabytes(parts[largest].activations)} for this one)`,
    ...(batch > 1 ? ["a smaller batch"] : []),
    ...(lowMemory ? [] : ["--low-memory"]),
    ...more,
  ];
  throw new TintypeError(
    "out-of-memory",
    `${width}x${height}${batch > 1 ? ` in batches of ${batch}` : ""} would take about ` +
      `${gigabytes(peak)} of memory, and ${gigabytes(available)} are free. Try ${help.join(", or ")}.`,
  );
}

/**
 * The tiles in which the autoencoder has to work for a run to fit, if any: those that are asked for, or
 * with "auto" those that are needed. Throws "out-of-memory" where nothing fits; nothing is checked
 * without `available`.
 */
export function tilesThatFit(
  predict: (tiles?: Tiles) => MemoryPrediction,
  size: RunSize,
  { tiles, when }: TilingSettings,
  {
    available = Number.POSITIVE_INFINITY,
    lowMemory,
  }: { readonly available?: number | undefined; readonly lowMemory: boolean },
): Tiles | undefined {
  const isLarge = needsTiles(size, tiles);
  const whole = !isLarge || when === "never" || (when === "auto" && predict().peak <= available);
  const taken = whole ? undefined : tiles;
  const more = isLarge && when === "never" ? ["--vae-tiling auto"] : [];
  requireMemory(predict(taken), available, size, lowMemory, more);
  return taken;
}
