import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import type { Init, Params } from "../../nn/params.js";
import type { DiscriminatorConfig } from "./config.js";

const KERNEL = 4;
const WEIGHTS: Init = { kind: "normal", std: 0.02 };
const SLOPE = 0.2;

/**
 * PatchGAN: images [B,3,H,W] -> logits [B,1,h,w], one a patch, high for real ones. Its batch norms
 * take the statistics of the batch, as they do in training. Source: Isola et al. 2017, section 6.1.2;
 * CompVis/taming-transformers NLayerDiscriminator, whose keys and start these are.
 */
export function discriminator(
  p: Params,
  { channels, layers }: DiscriminatorConfig,
  images: Value,
): Value {
  const main = p.at("main");
  let h = leakyRelu(conv(main.at(0), images, channels, { stride: 2, bias: true }));
  let at = 2;
  for (let n = 1; n <= layers; n++, at += 3) {
    const width = channels * Math.min(2 ** n, 8);
    const stride = n < layers ? 2 : 1;
    h = conv(main.at(at), h, width, { stride, bias: false });
    h = leakyRelu(batchNorm(main.at(at + 1), h));
  }
  return conv(main.at(at), h, 1, { stride: 1, bias: true });
}

function conv(
  p: Params,
  x: Value,
  outChannels: number,
  { stride, bias }: { readonly stride: number; readonly bias: boolean },
): Value {
  const inChannels = x.shape[1] as number;
  const weight = p.get("weight", [outChannels, inChannels, KERNEL, KERNEL], WEIGHTS);
  const bound = 1 / Math.sqrt(inChannels * KERNEL * KERNEL);
  const shift = bias ? p.get("bias", [outChannels], { kind: "uniform", bound }) : undefined;
  return op.conv2d(x, weight, shift, { stride, padding: 1 });
}

/** max(x, x / 5). Maas et al. 2013. */
function leakyRelu(x: Value): Value {
  return op.max(x, op.mul(x, SLOPE));
}

/** Normalises each channel of x [B,C,H,W] over batch and pixels. Ioffe & Szegedy 2015. */
function batchNorm(p: Params, x: Value): Value {
  const [b, c, h, w] = x.shape as readonly [number, number, number, number];
  const share = 1 / (b * h * w);
  const mean = (v: Value): Value => op.mul(op.sum(v, [0, 2, 3]), share);
  const centred = op.sub(x, mean(x));
  const deviation = op.sqrt(op.add(mean(op.mul(centred, centred)), 1e-5));
  const gain = op.reshape(p.get("weight", [c], { kind: "normal", std: 0.02, mean: 1 }), [
    1,
    c,
    1,
    1,
  ]);
  const shift = op.reshape(p.get("bias", [c], { kind: "constant", value: 0 }), [1, c, 1, 1]);
  return op.add(op.mul(centred, op.div(gain, deviation)), shift);
}
