import { expect, test } from "vitest";
import { mulDims, symbol } from "../graph/dim.js";
import { graphOf, manifest } from "../graph/graph.js";
import { input } from "../graph/ops.js";
import type { Value } from "../graph/value.js";
import { denseParams } from "../nn/layers.js";
import type { Params } from "../nn/params.js";
import { CLIP_L_TEXT, OPENCLIP_H_TEXT } from "./clip/config.js";
import { clipTextEncoder, tokenEmbedding } from "./clip/model.js";
import { SD1_UNET, SD2_UNET, type UNetConfig } from "./unet/config.js";
import { unet } from "./unet/model.js";
import { SD_VAE } from "./vae/config.js";
import { vaeDecoder, vaeEncoder } from "./vae/model.js";

const [b, h, w] = [symbol("b"), symbol("h"), symbol("w")];

/** What a model asks for when traced: tensors, parameters, and the output's shape. */
function traced(model: (p: Params) => Value[]): { tensors: number; parameters: number } {
  const outputs = model(denseParams());
  const wanted = manifest(graphOf(Object.fromEntries(outputs.map((v, i) => [`${i}`, v]))));
  let parameters = 0;
  for (const shape of wanted.values()) parameters += shape.reduce((n, d) => n * d, 1);
  return { tensors: wanted.size, parameters };
}

const traceUNet = (config: UNetConfig) => (p: Params) => {
  const x = input("x", [b, config.inChannels, h, w]);
  const context = input("context", [b, symbol("n"), config.crossAttentionDim]);
  const out = unet(p, config, { x, t: input("t", [b]), context });
  expect(out.shape).toEqual([b, 4, h, w]);
  return [out];
};

test.each([
  ["SD 1.x", SD1_UNET, 686, 859_520_964],
  ["SD 1.x inpainting", { ...SD1_UNET, inChannels: 9 }, 686, 859_535_364],
  ["SD 2.x", SD2_UNET, 686, 865_910_724],
])("the UNet of %s has the published tensors and parameters", (_, config, tensors, parameters) => {
  expect(traced(traceUNet(config))).toEqual({ tensors, parameters });
});

test("the autoencoder has the published tensors and parameters", () => {
  const model = (p: Params): Value[] => {
    const encoded = vaeEncoder(p, SD_VAE, input("image", [b, 3, mulDims(8, h), mulDims(8, w)]));
    expect(encoded.shape).toEqual([b, 8, h, w]);
    const decoded = vaeDecoder(p, SD_VAE, input("latents", [b, 4, h, w]));
    expect(decoded.shape).toEqual([b, 3, mulDims(8, h), mulDims(8, w)]);
    return [encoded, decoded];
  };
  expect(traced(model)).toEqual({ tensors: 248, parameters: 83_653_863 });
});

test.each([
  ["CLIP ViT-L/14", CLIP_L_TEXT, 196, 123_060_480],
  ["OpenCLIP ViT-H", OPENCLIP_H_TEXT, 372, 340_387_840],
])(
  "the text encoder of %s has the published tensors and parameters",
  (_, config, tensors, parameters) => {
    const model = (p: Params): Value[] => [
      clipTextEncoder(p, config, tokenEmbedding(p, config, input("ids", [b, 77], "int"))),
    ];
    expect(traced(model)).toEqual({ tensors, parameters });
  },
);
