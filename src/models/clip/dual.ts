import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import type { Params } from "../../nn/params.js";
import type { ClipConfig } from "./config.js";
import { clipTextEncoder, tokenEmbedding } from "./model.js";
import { clipVisionEncoder } from "./vision.js";

/** Where the scale of the logits starts: the logarithm of 1 / 0.07. */
export const LOGIT_SCALE_START: number = Math.log(1 / 0.07);

/** Where it ends: a scale of 100. Radford et al. 2021, section 2.5. */
export const LOGIT_SCALE_LIMIT: number = Math.log(100);

/**
 * Texts in the space that they share with pictures, of length 1: token ids [B,N] and, for each text,
 * the place of its end token in the flattened ids [B] -> [B,D]. Source: transformers CLIPModel,
 * get_text_features.
 */
export function clipTextFeatures(
  p: Params,
  config: ClipConfig,
  { ids, ends }: { readonly ids: Value; readonly ends: Value },
): Value {
  const { text, projectionDim } = config;
  const tower = p.at("text_model");
  const hidden = clipTextEncoder(tower, text, tokenEmbedding(tower, text, ids));
  const pooled = op.gather(op.reshape(hidden, [-1, text.hiddenSize]), ends);
  return project(p.at("text_projection"), pooled, text.hiddenSize, projectionDim);
}

/**
 * Pictures in the space that they share with texts, of length 1: [B,3,imageSize,imageSize],
 * normalised -> [B,D]. Source: transformers CLIPModel, get_image_features.
 */
export function clipImageFeatures(p: Params, config: ClipConfig, images: Value): Value {
  const { vision, projectionDim } = config;
  const { pooled } = clipVisionEncoder(p.at("vision_model"), vision, images);
  return project(p.at("visual_projection"), pooled, vision.hiddenSize, projectionDim);
}

/** Into the shared space, without a bias, and to length 1. */
function project(p: Params, x: Value, from: number, to: number): Value {
  const weight = p.get("weight", [to, from], { kind: "normal", std: from ** -0.5 });
  const y = op.matmul(x, weight, { transB: true });
  return op.div(y, op.sqrt(op.sum(op.mul(y, y), [1])));
}

/** The logarithm of the scale of the logits, a scalar. */
export function logitScale(p: Params): Value {
  return p.get("logit_scale", [], { kind: "constant", value: LOGIT_SCALE_START });
}
