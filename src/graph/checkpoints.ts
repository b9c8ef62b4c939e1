import { sameShape } from "./dim.js";
import { topological, type Value } from "./value.js";

/*
 * Which results of a forward pass to keep for the backward pass, where all of them are too many: what
 * lies between is worked out again when it is needed. Chen et al. 2016.
 */

/**
 * The sums of a stream and of what a block made of it: the seams of residual networks, such as all of
 * Stable Diffusion's. Least memory: about a third more work.
 */
export function residualSums(loss: Value): ReadonlySet<Value> {
  const isSum = ({ op, shape, inputs }: Value): boolean =>
    op === "add" && shape.length > 2 && inputs.every((x) => sameShape(x.shape, shape));
  return new Set(topological([loss]).filter(isSum));
}

const PRODUCTS: ReadonlySet<string> = new Set(["matmul", "conv2d"]);
const COMPOSITE_PRODUCTS: ReadonlySet<string> = new Set(["linear", "attention"]);

/** Residual sums and the results of all products: only norms and activations are worked out again. */
export function productsAndSums(loss: Value): ReadonlySet<Value> {
  const isProduct = (v: Value): boolean =>
    v.op === "composite"
      ? COMPOSITE_PRODUCTS.has((v as Value<"composite">).attrs.name)
      : PRODUCTS.has(v.op);
  return new Set([...residualSums(loss), ...topological([loss]).filter(isProduct)]);
}
