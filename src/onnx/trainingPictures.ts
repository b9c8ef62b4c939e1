import type { Value } from "../graph/value.js";
import { sizeOf } from "../tensor/tensor.js";
import type { Builder } from "./builder.js";
import { CPU_RULES } from "./cpu.js";
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
} from "./trainingLayouts.js";
import { groupNorm, pixelMeans } from "./trainingNorm.js";

/*
 * Rows that take blocked pictures as they are (see trainingLayouts.ts), and leave all else to `plain`
 * rows.
 */

/** Operators that treat each number alike. */
export const ELEMENTWISE = {
  neg: "Neg",
  abs: "Abs",
  exp: "Exp",
  log: "Log",
  sqrt: "Sqrt",
  sin: "Sin",
  cos: "Cos",
  tanh: "Tanh",
  sigmoid: "Sigmoid",
  erf: "Erf",
  add: "Add",
  sub: "Sub",
  mul: "Mul",
  div: "Div",
  max: "Max",
  min: "Min",
  equal: "Equal",
  less: "Less",
  where: "Where",
} as const;

/**
 * Elementwise on whatever order the largest input has: in blocks if one is, with the others brought
 * there; numbers by channel are repeated to match. Row-major where that does not go.
 */
export function elementwise(find: Find, emit: LooseRule, otherwise: LooseRule): LooseRule {
  return (b, inputs, v, spec) => {
    const at = find(b);
    const like = (x: Value): boolean => `${x.shape}` === `${v.shape}`;
    const full = inputs.filter((_, i) => like(v.inputs[i]!));
    const scalar = (x: Value): boolean => x.shape.every((d) => d === 1);
    if (
      full.some((name, i) => at.isPacked(b, name, v.inputs.filter(like)[i])) &&
      v.inputs.every((x, i) => scalar(x) || at.isPacked(b, inputs[i]!, x))
    ) {
      return at.mark(emit(b, inputs, v, spec), "weight");
    }
    if (!hasBlocks(v.shape, at.block) || !full.some((name) => at.isBlocked(name))) {
      return otherwise(b, inputs, v, spec);
    }
    const [batch, c, h, w] = v.shape as [number, number, number, number];
    const byPicture = (x: Value): boolean => `${x.shape}` === `${[batch, 1, 1, 1]}`;
    const byChannel = (x: Value): boolean => {
      const [width = 1, height = 1, channels = 1, pictures = 1] = [...x.shape].reverse();
      return (
        width === 1 && height === 1 && channels === c && (pictures === 1 || pictures === batch)
      );
    };
    if (!v.inputs.every((x) => like(x) || scalar(x) || byPicture(x) || byChannel(x))) {
      return otherwise(b, inputs, v, spec);
    }
    const channels = v.inputs.some((x) => !like(x) && !scalar(x) && byChannel(x));
    if (!channels) {
      const names = inputs.map((name, i) =>
        (like(v.inputs[i]!) ? blocked : plain)(b, at, named(name, v.inputs[i]!)),
      );
      return at.mark(emit(b, names, v, spec), "picture");
    }
    // Long rows are faster, so numbers by channel are repeated for some pixels.
    const times = [8, 4, 2, 1].find((k) => (h * w) % k === 0)!;
    const view = b.int64([batch, c / at.block, (h * w) / times, at.block * times]);
    const names = inputs.map((name, i) => {
      const x = v.inputs[i]!;
      if (like(x)) return b.node("Reshape", [blocked(b, at, named(name, x)), view]);
      if (scalar(x) || byPicture(x)) return plain(b, at, named(name, x));
      const pictures = sizeOf(x.shape as number[]) / c;
      const shaped = b.node("Reshape", [
        plain(b, at, named(name, x)),
        b.int64([pictures, c / at.block, 1, at.block]),
      ]);
      return times === 1 ? shaped : b.node("Tile", [shaped, b.int64([1, 1, 1, times])]);
    });
    const result = b.node("Reshape", [emit(b, names, v, spec), b.int64([batch, c, h, w])]);
    return at.mark(result, "picture");
  };
}

/** Rows that know blocked pictures. */
export function pictureRules(find: Find, { primitives, composites }: LooseRules): LooseRules {
  const pictures = (b: Builder, inputs: readonly string[], v: Value): Layouts | undefined => {
    const at = find(b);
    const fits = v.inputs.every((x, i) => hasBlocks(x.shape, at.block) && at.isBlocked(inputs[i]!));
    return fits ? at : undefined;
  };
  const sum: LooseRule = (b, inputs, v, spec) => {
    const at = pictures(b, inputs, v);
    const { axes } = (v as Value<"sum">).attrs;
    const x = v.inputs[0]!;
    if (!at || (axes.join() !== "2,3" && axes.join() !== "0,2,3"))
      return primitives.sum!(b, inputs, v, spec);
    const [, , h, w] = x.shape as number[];
    const means = pixelMeans(b, at, named(inputs[0]!, x));
    const total = b.node("Mul", [means, b.floats([], [h! * w!])]);
    const overBatch =
      axes.length === 2 ? total : b.node("ReduceSum", [total, b.int64([0])], { keepdims: 1 });
    return b.node("Reshape", [overBatch, b.int64(v.shape as number[])]);
  };
  const transpose: LooseRule = (b, inputs, v, spec) => {
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
    return primitives.transpose!(b, inputs, v, spec);
  };
  const lined = (b: Builder, name: string, shape: readonly number[]): string =>
    b.node("Reshape", [name, b.int64([shape[0]!, sizeOf(shape.slice(1))])]);
  const concat: LooseRule = (b, inputs, v, spec) => {
    const at = find(b);
    const whole = v.inputs.every((x) => hasBlocks(x.shape, at.block));
    const some = inputs.some((name) => at.isBlocked(name));
    if ((v as Value<"concat">).attrs.axis !== 1 || !whole || !some)
      return primitives.concat!(b, inputs, v, spec);
    const lines = inputs.map((name, i) => {
      const x = named(name, v.inputs[i]!);
      return lined(b, blocked(b, at, x), x.shape);
    });
    const joined = b.node("Concat", lines, { axis: 1 });
    return at.mark(b.node("Reshape", [joined, b.int64(v.shape as number[])]), "picture");
  };
  const slice: LooseRule = (b, inputs, v, spec) => {
    const at = pictures(b, inputs, v);
    const { axis, start } = (v as Value<"slice">).attrs;
    if (!at || axis !== 1 || start % at.block !== 0 || !hasBlocks(v.shape, at.block))
      return primitives.slice!(b, inputs, v, spec);
    const [, c, h, w] = v.shape as [number, number, number, number];
    const lines = lined(b, inputs[0]!, v.inputs[0]!.shape as number[]);
    const [first, last] = [start * h * w, (start + c) * h * w];
    const part = b.node("Slice", [lines, b.int64([first]), b.int64([last]), b.int64([1])]);
    return at.mark(b.node("Reshape", [part, b.int64(v.shape as number[])]), "picture");
  };
  const resizeNearest: LooseRule = (b, inputs, v, spec) => {
    const at = pictures(b, inputs, v);
    const [, , h, w] = v.inputs[0]!.shape as number[];
    const [height, width] = [(v.shape[2] as number) / h!, (v.shape[3] as number) / w!];
    if (!at || !Number.isInteger(height) || !Number.isInteger(width))
      return primitives.resizeNearest!(b, inputs, v, spec);
    const scales = { scales: [1, 1, height, width] };
    return at.mark(b.node("Upsample", inputs, { ...scales, mode: "nearest" }, NCHWC), "picture");
  };
  const sumPool: LooseRule = (b, inputs, v, spec) => {
    const at = pictures(b, inputs, v);
    if (!at) return primitives.sumPool!(b, inputs, v, spec);
    const { factor } = (v as Value<"sumPool">).attrs;
    const c = v.shape[1] as number;
    const sides = [factor, factor];
    const ones = b.floats([c, 1, ...sides], new Float32Array(c * factor * factor).fill(1));
    const geometry = { kernel_shape: sides, strides: sides, dilations: [1, 1], pads: [0, 0, 0, 0] };
    return at.mark(b.node("Conv", [inputs[0]!, ones], { ...geometry, group: c }, NCHWC), "picture");
  };
  const normalise: LooseRule = (b, inputs, v, spec) => {
    const at = find(b);
    const [x, weight, bias] = inputs;
    if (!hasBlocks(v.shape, at.block)) return composites.groupNorm!(b, inputs, v, spec);
    return groupNorm(b, at, named(x!, v), [weight!, bias!], spec);
  };
  const each = Object.entries(ELEMENTWISE).map(([op, operator]): [string, LooseRule] => [
    op,
    elementwise(find, (b, inputs) => b.node(operator, inputs), primitives[op]!),
  ]);
  const activations = ["silu", "gelu", "quickGelu"].map((name): [string, LooseRule] => [
    name,
    elementwise(find, CPU_RULES.composites[name as "silu"] as LooseRule, composites[name]!),
  ]);
  const shapes = { sum, transpose, concat, slice, resizeNearest, sumPool };
  return {
    primitives: { ...Object.fromEntries(each), ...shapes, detach: (_, [x]) => x! },
    composites: { ...Object.fromEntries(activations), groupNorm: normalise },
  };
}
