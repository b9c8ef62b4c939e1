import { exactDivDim } from "../../graph/dim.js";
import type { Value } from "../../graph/value.js";
import { hasBlocks } from "../../tensor/blocks.js";
import type { Builder } from "../builder.js";
import {
  blocked,
  type Find,
  type Layouts,
  type LooseRule,
  type LooseRules,
  NCHWC,
  named,
  plain,
} from "./layouts.js";

/*
 * Rows that take blocked pictures as they are (see layouts.ts), and leave all else to `otherwise`.
 */

/** A row for what is blocked, beside the one for what is not. */
export type Row = (find: Find, otherwise: LooseRule) => LooseRule;

/** What the lowering remembers, where all inputs are blocked pictures. */
export function onPictures(
  find: Find,
  b: Builder,
  inputs: readonly string[],
  v: Value,
): Layouts | undefined {
  const at = find(b);
  const fits = v.inputs.every((x, i) => hasBlocks(x.shape, at.block) && at.isBlocked(inputs[i]!));
  return fits ? at : undefined;
}

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

/** Channels one after the other: whole blocks lie as single channels would. */
const concat: Row = (find, otherwise) => (b, inputs, v, spec) => {
  const at = find(b);
  const whole = v.inputs.every((x) => hasBlocks(x.shape, at.block));
  const some = inputs.some((name) => at.isBlocked(name));
  const { axis } = (v as Value<"concat">).attrs;
  if (axis !== 1 || !whole || !some) return otherwise(b, inputs, v, spec);
  const pictures = inputs.map((name, i) => blocked(b, at, named(name, v.inputs[i]!)));
  return at.mark(b.node("Concat", pictures, { axis }), "picture");
};

/** Whole blocks of channels. */
const slice: Row = (find, otherwise) => (b, inputs, v, spec) => {
  const at = onPictures(find, b, inputs, v);
  const { axis, start } = (v as Value<"slice">).attrs;
  if (!at || axis !== 1 || start % at.block !== 0 || !hasBlocks(v.shape, at.block))
    return otherwise(b, inputs, v, spec);
  const end = start + (v.shape[1] as number);
  const part = b.node("Slice", [inputs[0]!, b.int64([start]), b.int64([end]), b.int64([axis])]);
  return at.mark(part, "picture");
};

/** By whole factors. */
const resizeNearest: Row = (find, otherwise) => (b, inputs, v, spec) => {
  const at = onPictures(find, b, inputs, v);
  const [, , h, w] = v.inputs[0]!.shape;
  const factors = [exactDivDim(v.shape[2]!, h!), exactDivDim(v.shape[3]!, w!)];
  if (!at || !factors.every((factor) => typeof factor === "number"))
    return otherwise(b, inputs, v, spec);
  const scales = { scales: [1, 1, ...factors], mode: "nearest" };
  return at.mark(b.node("Upsample", inputs, scales, NCHWC), "picture");
};

const ROWS: Readonly<Record<string, Row>> = { transpose, concat, slice, resizeNearest };

/** Rows for primitives over blocked pictures. */
export function rowsOf(
  rows: Readonly<Record<string, Row>>,
  find: Find,
  otherwise: LooseRules["primitives"],
): LooseRules["primitives"] {
  const found = Object.entries(rows).map(([name, row]) => [name, row(find, otherwise[name]!)]);
  return Object.fromEntries(found);
}

/** Rows that move blocked pictures as they are. */
export function pictureRules(find: Find, { primitives }: LooseRules): LooseRules {
  const rows = rowsOf(ROWS, find, primitives);
  return { primitives: { ...rows, detach: (_, [x]) => x! }, composites: {} };
}
