import type { Dim } from "../graph/dim.js";
import * as op from "../graph/ops.js";
import type { Value } from "../graph/value.js";
import { invariant } from "../util/errors.js";

/*
 * What losses are made of. Shapes are static; a scalar is a value of shape [].
 */

/** Number of elements of a value of static shape. */
export function countOf(x: Value): number {
  return x.shape.reduce<number>((n, d) => {
    invariant(typeof d === "number", "a training graph has a symbol in a shape");
    return n * d;
  }, 1);
}

/** The sum of all elements, a scalar. */
export function total(x: Value): Value {
  return op.reshape(op.sum(x, [...x.shape.keys()]), []);
}

/** The mean of all elements, a scalar. */
export function mean(x: Value): Value {
  return op.mul(total(x), 1 / countOf(x));
}

export function square(x: Value): Value {
  return op.mul(x, x);
}

/** x cut to [low, high]; where it is cut, it has no gradient. */
export function clamp(x: Value, low: number, high: number): Value {
  return op.min(op.max(x, low), high);
}

/** max(x, 0) */
export function relu(x: Value): Value {
  return op.max(x, 0);
}

/** The mean of each factor x factor square of pixels: [B,C,f*H,f*W] -> [B,C,H,W]. */
export function meanPool(images: Value, factor: number): Value {
  return factor === 1 ? images : op.mul(op.sumPool(images, factor), 1 / factor ** 2);
}

/** Euclidean norm of all elements, a scalar. */
export function norm(x: Value): Value {
  return op.sqrt(total(square(x)));
}

/** A diagonal Gaussian over latents: mean and the logarithm of the variance, each [B,C,h,w]. */
export interface Gaussian {
  readonly mean: Value;
  readonly logvar: Value;
}

/** The posterior that an encoder's moments [B,2C,h,w] mean. Source: diffusers DiagonalGaussianDistribution. */
export function posterior(moments: Value): Gaussian {
  const channels = (moments.shape[1] as number) / 2;
  return {
    mean: op.slice(moments, 1, 0, channels),
    logvar: clamp(op.slice(moments, 1, channels, channels), -30, 20),
  };
}

/** A draw from a Gaussian with standard normal noise. Source: Kingma & Welling 2014, eq. 10. */
export function reparameterize({ mean, logvar }: Gaussian, noise: Value): Value {
  return op.add(mean, op.mul(op.exp(op.mul(logvar, 0.5)), noise));
}

/** Kullback-Leibler divergence from the standard normal, summed over a picture, mean over the batch. */
export function klDivergence({ mean, logvar }: Gaussian): Value {
  const terms = op.sub(op.add(square(mean), op.exp(logvar)), op.add(logvar, 1));
  return op.mul(total(terms), 0.5 / (mean.shape[0] as number));
}

/** log(sum(exp(x))) over the last axis, which stays with size 1. */
export function logSumExp(x: Value): Value {
  const most = op.detach(op.reduceMax(x, [-1]));
  return op.add(op.log(op.sum(op.exp(op.sub(x, most)), [-1])), most);
}

/** Cross entropy of logits [B,B] whose right answers lie on the diagonal, mean over rows. */
export function diagonalCrossEntropy(logits: Value): Value {
  const n = logits.shape[0] as number;
  const diagonal = op.mul(logits, identity(n));
  return op.mul(op.sub(total(logSumExp(logits)), total(diagonal)), 1 / n);
}

function identity(n: number): Value {
  const data = new Float32Array(n * n);
  for (let i = 0; i < n; i++) data[i * n + i] = 1;
  return op.constant([n, n], data);
}

/** A value of one number for each example, [B] -> [B,1,1...] as `like` has axes. */
export function perExample(x: Value, like: Value): Value {
  const ones: Dim[] = like.shape.slice(1).map(() => 1);
  return op.reshape(x, [like.shape[0]!, ...ones]);
}
