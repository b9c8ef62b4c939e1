import { type Dim, mulDims, symbol } from "../graph/dim.js";
import { type Graph, graphOf } from "../graph/graph.js";
import { input } from "../graph/ops.js";
import type { ClipTextConfig } from "../models/clip/config.js";
import { clipTextEncoder } from "../models/clip/model.js";
import type { UNetConfig } from "../models/unet/config.js";
import { unet } from "../models/unet/model.js";
import { type VaeConfig, vaeFactor } from "../models/vae/config.js";
import { vaeDecoder, vaeEncoder } from "../models/vae/model.js";
import { denseParams } from "../nn/layers.js";
import type { Params } from "../nn/params.js";

/*
 * The four programs of a latent diffusion model, traced for any batch and any size. Inputs and
 * outputs are named here and fed in `model.ts`.
 */

const [b, h, w] = [symbol("b"), symbol("h"), symbol("w")];

/** tokens [b,N,C] -> hidden [b,N,C] */
export function textGraph(config: ClipTextConfig): Graph {
  const tokens = input("tokens", [b, config.maxPositions, config.hiddenSize]);
  return graphOf({ hidden: clipTextEncoder(denseParams(), config, tokens) });
}

/** x [b,C,h,w], t [b], context [b,n,D] -> prediction [b,4,h,w] */
export function unetGraph(config: UNetConfig, p: Params = denseParams()): Graph {
  const inputs = {
    x: input("x", [b, config.inChannels, h, w]),
    t: input("t", [b]),
    context: input("context", [b, symbol("n"), config.crossAttentionDim]),
  };
  return graphOf({ prediction: unet(p, config, inputs) });
}

/** image [b,3,f*h,f*w] -> moments [b,2*4,h,w] */
export function encoderGraph(config: VaeConfig): Graph {
  const side = (d: Dim): Dim => mulDims(vaeFactor(config), d);
  const image = input("image", [b, config.inChannels, side(h), side(w)]);
  return graphOf({ moments: vaeEncoder(denseParams(), config, image) });
}

/** latents [b,4,h,w] -> image [b,3,f*h,f*w] */
export function decoderGraph(config: VaeConfig, p: Params = denseParams()): Graph {
  const latents = input("latents", [b, config.latentChannels, h, w]);
  return graphOf({ image: vaeDecoder(p, config, latents) });
}
