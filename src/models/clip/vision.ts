import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import { toTokens } from "../../nn/attention.js";
import { embeddingTable, layerNorm } from "../../nn/layers.js";
import type { Params } from "../../nn/params.js";
import type { ClipVisionConfig } from "./config.js";
import { clipEncoder } from "./encoder.js";

/** What the image encoder makes of pictures. */
export interface ClipVisionStates {
  /** States of [class, patches...] after each layer, [B,1+N,C]. */
  readonly layers: readonly Value[];
  /** The class token after the last norm, [B,C]. */
  readonly pooled: Value;
}

/**
 * CLIP's image encoder, a vision transformer: images [B,3,imageSize,imageSize], normalised.
 * Source: Dosovitskiy et al. 2021; Radford et al. 2021; transformers CLIPVisionModel.
 */
export function clipVisionEncoder(
  p: Params,
  config: ClipVisionConfig,
  images: Value,
): ClipVisionStates {
  const { hiddenSize, imageSize, patchSize, layerNormEps } = config;
  const batch = images.shape[0]!;
  const table = p.at("embeddings");
  const kernel = table.get("patch_embedding.weight", [hiddenSize, 3, patchSize, patchSize], {
    kind: "normal",
    std: 0.02,
  });
  const patches = toTokens(op.conv2d(images, kernel, undefined, { stride: patchSize }));
  const start = { kind: "normal", std: hiddenSize ** -0.5 } as const;
  const first = op.reshape(table.get("class_embedding", [hiddenSize], start), [1, 1, hiddenSize]);
  const tokens = op.concat([op.expand(first, [batch, 1, hiddenSize]), patches], 1);
  const count = (imageSize / patchSize) ** 2 + 1;
  const positions = embeddingTable(table.at("position_embedding"), count, hiddenSize);
  // The key is spelled so in the published files.
  const h = layerNorm(p.at("pre_layrnorm"), op.add(tokens, positions), layerNormEps);
  const layers = clipEncoder(p.at("encoder"), config, h, false);
  const pooled = op.reshape(op.slice(layers.at(-1)!, 1, 0, 1), [batch, hiddenSize]);
  return { layers, pooled: layerNorm(p.at("post_layernorm"), pooled, layerNormEps) };
}
