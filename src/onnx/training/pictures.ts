import type { Value } from "../../graph/value.js";
import { hasBlocks } from "../../tensor/blocks.js";
import { type Find, type LooseRule, type LooseRules, NCHWC, named } from "../blocks/layouts.js";
import { onPictures, type Row, rowsOf } from "../blocks/pictures.js";
import { groupNorm, pixelMeans } from "./norms.js";

/*
 * Sums and norms of blocked pictures, whose sizes are known.
 */

/** Sums over pixels, and over the batch too. */
const sum: Row = (find, otherwise) => (b, inputs, v, spec) => {
  const at = onPictures(find, b, inputs, v);
  const { axes } = (v as Value<"sum">).attrs;
  const x = v.inputs[0]!;
  if (!at || (axes.join() !== "2,3" && axes.join() !== "0,2,3"))
    return otherwise(b, inputs, v, spec);
  const [, , h, w] = x.shape as readonly number[];
  const means = pixelMeans(b, at, named(inputs[0]!, x));
  const total = b.node("Mul", [means, b.floats([], [h! * w!])]);
  const overBatch =
    axes.length === 2 ? total : b.node("ReduceSum", [total, b.int64([0])], { keepdims: 1 });
  return b.node("Reshape", [overBatch, b.int64(v.shape as number[])]);
};

/** A convolution of each channel with ones. */
const sumPool: Row = (find, otherwise) => (b, inputs, v, spec) => {
  const at = onPictures(find, b, inputs, v);
  if (!at) return otherwise(b, inputs, v, spec);
  const { factor } = (v as Value<"sumPool">).attrs;
  const c = v.shape[1] as number;
  const sides = [factor, factor];
  const ones = b.floats([c, 1, ...sides], new Float32Array(c * factor * factor).fill(1));
  const geometry = { kernel_shape: sides, strides: sides, dilations: [1, 1], pads: [0, 0, 0, 0] };
  return at.mark(b.node("Conv", [inputs[0]!, ones], { ...geometry, group: c }, NCHWC), "picture");
};

const normalise = (find: Find, otherwise: LooseRule): LooseRule => {
  return (b, inputs, v, spec) => {
    const at = find(b);
    const [x, weight, bias] = inputs;
    if (!hasBlocks(v.shape, at.block)) return otherwise(b, inputs, v, spec);
    return groupNorm(b, at, named(x!, v), [weight!, bias!], spec);
  };
};

/** Rows that reduce blocked pictures. */
export function reductionRules(find: Find, { primitives, composites }: LooseRules): LooseRules {
  return {
    primitives: rowsOf({ sum, sumPool }, find, primitives),
    composites: { groupNorm: normalise(find, composites.groupNorm!) },
  };
}
