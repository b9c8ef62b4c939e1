import { type Dim, mulDims, symbol } from "../graph/dim.js";
import { type Graph, graphOf } from "../graph/graph.js";
import { input } from "../graph/ops.js";
import type { Value } from "../graph/value.js";
import { type VaeConfig, vaeFeatures } from "../models/vae/config.js";
import {
  vaeDecoderCoarse,
  vaeDecoderFine,
  vaeEncoderCoarse,
  vaeEncoderFine,
} from "../models/vae/model.js";
import { denseParams } from "../nn/layers.js";
import type { Params } from "../nn/params.js";
import { measuringStatistics, withFedStatistics } from "../nn/statistics.js";

/*
 * The programs of an autoencoder that works in tiles. The halves next to the latents see the whole
 * picture; those next to the pixels see tiles, normalised by statistics that a third program measures
 * on a sample of the picture.
 */

/** Programs of a part that works in tiles. */
export type TilePart = `${"encoder" | "decoder"}.${"coarse" | "fine" | "statistics"}`;

/** Patches of the sample, in features: larger margins cost more than they mend. */
export const PATCHES = { side: 8, margin: 2 } as const;

const [b, h, w] = [symbol("b"), symbol("h"), symbol("w")];

/** Traces one program of an autoencoder in tiles. */
export function tileGraph(part: TilePart, config: VaeConfig, p: Params = denseParams()): Graph {
  return TILE_GRAPHS[part](config, p);
}

const TILE_GRAPHS: Readonly<Record<TilePart, (config: VaeConfig, p: Params) => Graph>> = {
  /** latents [b,4,h,w] -> features [b,C,2h,2w] */
  "decoder.coarse"(config, p) {
    const latents = input("latents", [b, config.latentChannels, h, w]);
    return graphOf({ features: vaeDecoderCoarse(p, config, latents) });
  },
  /** features [b,C,h,w], statistics by their norms -> image [b,3,f*h,f*w] */
  "decoder.fine"(config, p) {
    const features = input("features", [b, vaeFeatures(config).decoderChannels, h, w]);
    return graphOf({ image: vaeDecoderFine(withFedStatistics(p), config, features) });
  },
  /** features [b,C,side,side], shares [b] -> statistics by their norms */
  "decoder.statistics"(config, p) {
    const { side } = PATCHES;
    const features = input("features", [b, vaeFeatures(config).decoderChannels, side, side]);
    return statisticsGraph(p, (q) => vaeDecoderFine(q, config, features));
  },
  /** features [b,C,2h,2w] -> moments [b,2*4,h,w] */
  "encoder.coarse"(config, p) {
    const features = input("features", [b, vaeFeatures(config).encoderChannels, h, w]);
    return graphOf({ moments: vaeEncoderCoarse(p, config, features) });
  },
  /** image [b,3,f*h,f*w], statistics by their norms -> features [b,C,h,w] */
  "encoder.fine"(config, p) {
    const side = (d: Dim): Dim => mulDims(vaeFeatures(config).factor, d);
    const image = input("image", [b, config.inChannels, side(h), side(w)]);
    return graphOf({ features: vaeEncoderFine(withFedStatistics(p), config, image) });
  },
  /** image [b,3,f*side,f*side], shares [b] -> statistics by their norms */
  "encoder.statistics"(config, p) {
    const side = PATCHES.side * vaeFeatures(config).factor;
    const image = input("image", [b, config.inChannels, side, side]);
    return statisticsGraph(p, (q) => vaeEncoderFine(q, config, image));
  },
};

/** What group norms measure while `trace` runs. */
function statisticsGraph(p: Params, trace: (p: Params) => Value): Graph {
  const measuring = measuringStatistics(p, PATCHES, input("shares", [b]));
  trace(measuring.p);
  return graphOf(Object.fromEntries(measuring.statistics));
}
