import type { Value } from "../../graph/value.js";
import { sizeOf } from "../../tensor/tensor.js";
import type { Builder } from "../builder.js";
import {
  blocked,
  type Find,
  hasBlocks,
  type Layouts,
  type LooseRule,
  type LooseRules,
  NCHWC,
  named,
  plain,
} from "./layouts.js";
import { groupNorm, pixelMeans } from "./norms.js";

/*
 * Rows that take blocked pictures as they are (see layouts.ts), and leave all else to `otherwise`.
 */

type Row = (find: Find, otherwise: LooseRule) => LooseRule;

type Shape4 = readonly [number, number, number, number];

/** What the lowering remembers, where all inputs are blocked pictures. */
function onPictures(
  find: Find,
  b: Builder,
  inputs: readonly string[],
  v: Value,
): Layouts | undefined {
  const at = find(b);
  const fits = v.inputs.every((x, i) => hasBlocks(x.shape, at.block) && at.isBlocked(inputs[i]!));
  return fits ? at : undefined;
}

/** Sums over pixels, and over the batch too. */
const sum: Row = (find, otherwise) => (b, inputs, v, spec) => {
  const at = onPictures(find, b, inputs, v);
  const { axes } = (v as Value<"sum">).attrs;
  const x = v.inputs[0]!;
  if (!at || (axes.join() !== "2,3" && axes.join() !== "0,2,3"))
    return otherwise(b, inputs, v, spec);
  const [, , h, w] = x.shape as Shape4;
  const means = pixelMeans(b, at, named(inputs[0]!, x));
  const total = b.node("Mul", [means, b.floats([], [h * w])]);
  const overBatch =
    axes.length === 2 ? total : b.node("ReduceSum", [total, b.int64([0])], { keepdims: 1 });
  return b.node("Reshape", [overBatch, b.int64(v.shape as number[])]);
};

/** Between [B,C,H,W] in blocks and [B,H,W,C]. */
const transpose: Row = (find, otherwise) => (b, inputs, v, spec) => {
  const at = find(b);
  const perm = (v as Value<"transpose">).attrs.perm.join();
  const [name] = inputs;
  if (perm === "0,2,3,1" && at.isBlocked(name!)) {
    const channels = v.inputs[0]!.shape[1] as number;
    return b.node("ReorderOutput", [name!], { channels, channels_last: 1 }, NCHWC);
  }
  if (perm === "0,3,1,2" && hasBlocks(v.shape, at.block)) {
    const pixels = plain(b, at, named(name!, v.inputs[0]!));
    return at.mark(b.node("ReorderInput", [pixels], { channels_last: 1 }, NCHWC), "picture");
  }
  return otherwise(b, inputs, v, spec);
};

/** Pictures as one row each. */
const lined = (b: Builder, name: string, shape: readonly number[]): string =>
  b.node("Reshape", [name, b.int64([shape[0]!, sizeOf(shape.slice(1))])]);

/** Channels one after the other. */
const concat: Row = (find, otherwise) => (b, inputs, v, spec) => {
  const at = find(b);
  const whole = v.inputs.every((x) => hasBlocks(x.shape, at.block));
  const some = inputs.some((name) => at.isBlocked(name));
  if ((v as Value<"concat">).attrs.axis !== 1 || !whole || !some)
    return otherwise(b, inputs, v, spec);
  const lines = inputs.map((name, i) => {
    const x = named(name, v.inputs[i]!);
    return lined(b, blocked(b, at, x), x.shape);
  });
  const joined = b.node("Concat", lines, { axis: 1 });
  return at.mark(b.node("Reshape", [joined, b.int64(v.shape as number[])]), "picture");
};

/** Whole blocks of channels. */
const slice: Row = (find, otherwise) => (b, inputs, v, spec) => {
  const at = onPictures(find, b, inputs, v);
  const { axis, start } = (v as Value<"slice">).attrs;
  if (!at || axis !== 1 || start % at.block !== 0 || !hasBlocks(v.shape, at.block))
    return otherwise(b, inputs, v, spec);
  const [, c, h, w] = v.shape as unknown as Shape4;
  const lines = lined(b, inputs[0]!, v.inputs[0]!.shape as number[]);
  const [first, last] = [start * h * w, (start + c) * h * w];
  const part = b.node("Slice", [lines, b.int64([first]), b.int64([last]), b.int64([1])]);
  return at.mark(b.node("Reshape", [part, b.int64(v.shape as number[])]), "picture");
};

/** By whole factors. */
const resizeNearest: Row = (find, otherwise) => (b, inputs, v, spec) => {
  const at = onPictures(find, b, inputs, v);
  const [, , h, w] = v.inputs[0]!.shape as unknown as Shape4;
  const [height, width] = [(v.shape[2] as number) / h, (v.shape[3] as number) / w];
  if (!at || !Number.isInteger(height) || !Number.isInteger(width))
    return otherwise(b, inputs, v, spec);
  const scales = { scales: [1, 1, height, width] };
  return at.mark(b.node("Upsample", inputs, { ...scales, mode: "nearest" }, NCHWC), "picture");
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

const normalise: Row = (find, otherwise) => (b, inputs, v, spec) => {
  const at = find(b);
  const [x, weight, bias] = inputs;
  if (!hasBlocks(v.shape, at.block)) return otherwise(b, inputs, v, spec);
  return groupNorm(b, at, named(x!, v), [weight!, bias!], spec);
};

const ROWS: Readonly<Record<string, Row>> = {
  sum,
  transpose,
  concat,
  slice,
  resizeNearest,
  sumPool,
};

/** Rows that know blocked pictures. */
export function pictureRules(find: Find, { primitives, composites }: LooseRules): LooseRules {
  const rows = Object.entries(ROWS).map(([name, row]): [string, LooseRule] => [
    name,
    row(find, primitives[name]!),
  ]);
  return {
    primitives: { ...Object.fromEntries(rows), detach: (_, [x]) => x! },
    composites: { groupNorm: normalise(find, composites.groupNorm!) },
  };
}
