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
import { measuringStatistics, type Patches, withFedStatistics } from "../nn/statistics.js";

/*
 * The programs of an autoencoder that works in tiles. The halves next to the latents see the whole
 * picture; those next to the pixels see tiles, normalised by statistics that a third program measures
 * on a sample of the picture:
 *
 *     decoder   coarse      latents [b,4,h,w] -> features [b,C,2h,2w]
 *               statistics  features [b,C,side,side], shares [b] -> statistics by their norms
 *               fine        features [b,C,h,w], statistics by their norms -> image [b,3,f*h,f*w]
 *     encoder   statistics  image [b,3,f*side,f*side], shares [b] -> statistics by their norms
 *               fine        image [b,3,f*h,f*w], statistics by their norms -> features [b,C,h,w]
 *               coarse      features [b,C,2h,2w] -> moments [b,2*4,h,w]
 */

/** Parts that can work in tiles. */
export type TiledPart = "encoder" | "decoder";

/** Programs of a part that works in tiles. */
export type TileProgram = "coarse" | "fine" | "statistics";

/** Patches of the sample, in features: larger margins cost more than they mend. */
export const PATCHES: Patches = { side: 8, margin: 2 };

const [b, h, w] = [symbol("b"), symbol("h"), symbol("w")];

/** Traces one program of an autoencoder in tiles. */
export function tileGraph(
  part: TiledPart,
  program: TileProgram,
  config: VaeConfig,
  p: Params = denseParams(),
  patches: Patches = PATCHES,
): Graph {
  const trace = part === "decoder" ? decoderGraph : encoderGraph;
  return trace(program, config, p, patches);
}

type Trace = (program: TileProgram, config: VaeConfig, p: Params, patches: Patches) => Graph;

const decoderGraph: Trace = (program, config, p, patches) => {
  const { decoderChannels: channels } = vaeFeatures(config);
  switch (program) {
    case "coarse": {
      const latents = input("latents", [b, config.latentChannels, h, w]);
      return graphOf({ features: vaeDecoderCoarse(p, config, latents) });
    }
    case "fine": {
      const features = input("features", [b, channels, h, w]);
      return graphOf({ image: vaeDecoderFine(withFedStatistics(p), config, features) });
    }
    case "statistics": {
      const features = input("features", [b, channels, patches.side, patches.side]);
      return statisticsGraph(p, patches, (q) => vaeDecoderFine(q, config, features));
    }
  }
};

const encoderGraph: Trace = (program, config, p, patches) => {
  const { encoderChannels, factor } = vaeFeatures(config);
  const side = (d: Dim): Dim => mulDims(factor, d);
  const image = (height: Dim, width: Dim): Value =>
    input("image", [b, config.inChannels, side(height), side(width)]);
  switch (program) {
    case "coarse": {
      const features = input("features", [b, encoderChannels, h, w]);
      return graphOf({ moments: vaeEncoderCoarse(p, config, features) });
    }
    case "fine":
      return graphOf({ features: vaeEncoderFine(withFedStatistics(p), config, image(h, w)) });
    case "statistics": {
      const pieces = image(patches.side, patches.side);
      return statisticsGraph(p, patches, (q) => vaeEncoderFine(q, config, pieces));
    }
  }
};

/** What group norms measure while `trace` runs. */
function statisticsGraph(p: Params, patches: Patches, trace: (p: Params) => Value): Graph {
  const measuring = measuringStatistics(p, patches, input("shares", [b]));
  trace(measuring.p);
  return graphOf(Object.fromEntries(measuring.statistics));
}

/** Fewer patches than that do not stand for a picture. */
const MIN_PATCHES = 64;

/** How many patches make a sample as large as a tile of this side, in features. */
export function patchCount(tile: number): number {
  return Math.max(MIN_PATCHES, Math.floor((tile / PATCHES.side) ** 2));
}
