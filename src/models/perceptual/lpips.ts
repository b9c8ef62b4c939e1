import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import type { Params } from "../../nn/params.js";
import { vgg16Features } from "./vgg.js";

/** ImageNet's mean and deviation, for pictures in [-1,1]. */
const SHIFT = [-0.03, -0.088, -0.188];
const SCALE = [0.458, 0.448, 0.45];

/**
 * How different two batches of pictures look: a and b [B,3,H,W] in [-1,1] -> the mean distance, a
 * scalar. `vgg` holds VGG16's weights, `lin` those that its channels count with. Source: Zhang et
 * al. 2018, LPIPS 0.1 on VGG; CompVis/taming-transformers lpips.py, whose keys these are.
 */
export function lpips(vgg: Params, lin: Params, a: Value, b: Value): Value {
  const [x, y] = [a, b].map((images) => vgg16Features(vgg, scaled(images)));
  return x!
    .map((features, i) => {
      const channels = features.shape[1] as number;
      const key = lin.at(`lin${i}.model.1`);
      const weight = key.get("weight", [1, channels, 1, 1], { kind: "constant", value: 0 });
      return op.mul(meanOf(op.mul(squares(features, y![i]!, 1), weight)), channels);
    })
    .reduce((sum, part) => op.add(sum, part));
}

/** The same without weights, on tokens [B,N,C] of each layer of any network. */
export function featureDistance(a: readonly Value[], b: readonly Value[]): Value {
  return a
    .map((features, i) => {
      const channels = features.shape[2] as number;
      return op.mul(meanOf(squares(features, b[i]!, 2)), channels / a.length);
    })
    .reduce((sum, part) => op.add(sum, part));
}

function scaled(images: Value): Value {
  const [shift, scale] = [SHIFT, SCALE].map((values) => op.constant([1, 3, 1, 1], values));
  return op.div(op.sub(images, shift!), scale!);
}

/** Squared differences of features whose channels were brought to length 1. */
function squares(a: Value, b: Value, axis: number): Value {
  const unit = (x: Value): Value => {
    // The root of 0 has no gradient, so 0 is kept away from it.
    const length = op.sqrt(op.add(op.sum(op.mul(x, x), [axis]), 1e-20));
    return op.div(x, op.add(length, 1e-10));
  };
  const difference = op.sub(unit(a), unit(b));
  return op.mul(difference, difference);
}

function meanOf(x: Value): Value {
  const axes = [...x.shape.keys()];
  const count = x.shape.reduce<number>((n, d) => n * (d as number), 1);
  return op.mul(op.reshape(op.sum(x, axes), []), 1 / count);
}
