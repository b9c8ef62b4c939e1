import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import type { ClipConfig } from "../../models/clip/config.js";
import {
  clipImageFeatures,
  clipTextFeatures,
  LOGIT_SCALE_LIMIT,
  logitScale,
} from "../../models/clip/dual.js";
import type { Params } from "../../nn/params.js";
import { diagonalCrossEntropy, meanPool } from "../losses.js";

/** What the loss of a batch of pairs is made from. */
export interface ClipInputs {
  /** Token ids [B,N], and the place of each text's end in the flattened ids [B]. */
  readonly ids: Value;
  readonly ends: Value;
  /** Pictures [B,3,S,S] in [-1,1], S a multiple of the encoder's size, to which they are averaged. */
  readonly images: Value;
}

/** `loss` is a scalar, `logits` [B,B]: texts down, pictures across. */
export interface ClipTerms {
  readonly loss: Value;
  readonly logits: Value;
  /** The logarithm of the scale, as the parameter stands. */
  readonly logScale: Value;
}

/**
 * Which of the batch's pictures belongs to a text, and the other way round. Source: Radford et al.
 * 2021, figure 3; transformers CLIPModel.
 */
export function clipLoss(p: Params, config: ClipConfig, inputs: ClipInputs): ClipTerms {
  const texts = clipTextFeatures(p, config, inputs);
  const factor = (inputs.images.shape[2] as number) / config.vision.imageSize;
  const pictures = clipImageFeatures(p, config, meanPool(inputs.images, factor));
  const logScale = logitScale(p);
  const logits = op.mul(op.matmul(texts, pictures, { transB: true }), op.exp(limited(logScale)));
  const loss = op.mul(
    op.add(diagonalCrossEntropy(logits), diagonalCrossEntropy(op.transpose(logits, [1, 0]))),
    0.5,
  );
  return { loss, logits, logScale };
}

/** At most the limit, with the gradient of what is not limited, so that the scale can come back. */
function limited(logScale: Value): Value {
  const excess = op.detach(op.sub(logScale, op.min(logScale, LOGIT_SCALE_LIMIT)));
  return op.sub(logScale, excess);
}
