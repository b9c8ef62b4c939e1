import type { CompositeName } from "../graph/composites.js";
import type { Primitive, Value } from "../graph/value.js";
import { sizeOf } from "../tensor/tensor.js";
import type { Builder } from "./builder.js";
import { CPU_RULES } from "./cpu.js";
import { STANDARD_PRIMITIVES } from "./primitives.js";
import type { Emitted, LoweringRules, Rule } from "./rules.js";
import { convolutionRules } from "./trainingConv.js";
import {
  blocked,
  hasBlocks,
  type Layouts,
  layoutsOf,
  MICROSOFT,
  type Named,
  NCHWC,
  packable,
  packed,
  plain,
} from "./trainingLayouts.js";
import {
  type Groups,
  groupNorm,
  groupNormGrad,
  groupNormWeightGrad,
  pixelMeans,
  plusOne,
  sigmoidUnitGrad,
} from "./trainingNorm.js";
import { attentionGrads, geluGrad, layerNormGrad, layerNormWeightGrad } from "./trainingTokens.js";

/*
 * Rows for training on the CPU. Pictures stay in blocks of channels from convolution to convolution
 * (see trainingLayouts.ts): rows that know what to do with them take them as they are, all others get
 * them in row-major order.
 */

type AnyRule = (b: Builder, inputs: readonly string[], v: Value, spec: never) => string;

const named = (name: string, v: Value): Named => ({ name, shape: v.shape as readonly number[] });

/** Rows of a device without blocked convolutions, with the products that the CPU provider fuses. */
export const PLAIN_TRAINING_RULES: LoweringRules = {
  ...CPU_RULES,
  primitives: {
    ...STANDARD_PRIMITIVES,
    matmul: fusedMatmul(),
    sum: sumRule(STANDARD_PRIMITIVES.sum),
  },
};

/** Products of matrices that stand transposed in memory. */
function fusedMatmul(): Rule<"matmul"> {
  return (b, inputs, v) => {
    const { transA, transB } = v.attrs;
    if (!transA && !transB) return b.node("MatMul", inputs);
    const attributes = { transA: transA ? 1 : 0, transB: transB ? 1 : 0 };
    return v.inputs.every((x) => x.shape.length === 2)
      ? b.node("Gemm", inputs, attributes)
      : b.node("FusedMatMul", inputs, attributes, MICROSOFT);
  };
}

/** A sum of rows is a product with ones. */
function sumRule(otherwise: Rule<"sum">): Rule<"sum"> {
  return (b, inputs, v) => {
    const { shape } = v.inputs[0]!;
    const rows = shape[0];
    if (shape.length !== 2 || v.attrs.axes.join() !== "0" || typeof rows !== "number")
      return otherwise(b, inputs, v);
    return b.node("MatMul", [b.floats([1, rows], new Float32Array(rows).fill(1)), inputs[0]!]);
  };
}

/** Operators that treat each number alike. */
const ELEMENTWISE = {
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

type Elementwise = keyof typeof ELEMENTWISE;

/** Rows for ONNX Runtime's CPU provider with blocked convolutions of this many channels a block. */
export function blockedTrainingRules(block: number): LoweringRules {
  const find = layoutsOf(block);
  const plainly =
    (rule: AnyRule): AnyRule =>
    (b, inputs, v, spec) => {
      const at = find(b);
      const names = inputs.map((x, i) => plain(b, at, named(x, v.inputs[i]!), v.inputs[i]));
      return rule(b, names, v, spec);
    };
  const primitives = Object.fromEntries(
    Object.entries(PLAIN_TRAINING_RULES.primitives).map(([op, rule]) => [
      op,
      plainly(rule as unknown as AnyRule),
    ]),
  ) as unknown as Record<Emitted, AnyRule>;
  const composites = Object.fromEntries(
    Object.entries(PLAIN_TRAINING_RULES.composites).map(([name, rule]) => [
      name,
      plainly(rule as unknown as AnyRule),
    ]),
  ) as unknown as Record<CompositeName, AnyRule>;

  for (const op of Object.keys(ELEMENTWISE) as Elementwise[]) {
    primitives[op] = elementwise(
      find,
      (b, inputs) => b.node(ELEMENTWISE[op], inputs),
      primitives[op],
    );
  }
  for (const name of ["silu", "gelu", "quickGelu"] as const) {
    composites[name] = elementwise(
      find,
      PLAIN_TRAINING_RULES.composites[name] as unknown as AnyRule,
      composites[name],
    );
  }
  Object.assign(composites, gradientRules(find, plainly));
  const rows = pictureRules(find, primitives, composites);
  return {
    primitives: { ...primitives, ...rows.primitives, ...convolutionRules(find) } as never,
    composites: { ...composites, ...rows.composites } as never,
    expands: ({ attrs: { name }, shape, inputs }) =>
      name.startsWith("groupNorm") &&
      name !== "groupNorm" &&
      !hasBlocks(shape.length === 1 ? inputs[0]!.shape : shape, block),
    leave(b, name, v, asWeight) {
      const at = find(b);
      const x = named(name, v);
      return asWeight && packable(v.shape, block) ? packed(b, at, x, v) : plain(b, at, x, v);
    },
  };
}

/**
 * Elementwise on whatever order the largest input has: in blocks if one is, with the others brought
 * there; numbers by channel are repeated to match. Row-major where that does not go.
 */
function elementwise(find: (b: Builder) => Layouts, emit: AnyRule, otherwise: AnyRule): AnyRule {
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
        like(v.inputs[i]!) ? blocked(b, at, named(name, v.inputs[i]!)) : name,
      );
      return at.mark(emit(b, names, v, spec), "picture");
    }
    // Long rows are faster, so numbers by channel are repeated for some pixels.
    const times = [8, 4, 2, 1].find((k) => (h * w) % k === 0)!;
    const view = b.int64([batch, c / at.block, (h * w) / times, at.block * times]);
    const names = inputs.map((name, i) => {
      const x = v.inputs[i]!;
      if (like(x)) return b.node("Reshape", [blocked(b, at, named(name, x)), view]);
      if (scalar(x) || byPicture(x)) return name;
      const pictures = sizeOf(x.shape as number[]) / c;
      const shaped = b.node("Reshape", [name, b.int64([pictures, c / at.block, 1, at.block])]);
      return times === 1 ? shaped : b.node("Tile", [shaped, b.int64([1, 1, 1, times])]);
    });
    const result = b.node("Reshape", [emit(b, names, v, spec), b.int64([batch, c, h, w])]);
    return at.mark(result, "picture");
  };
}

interface Rows {
  readonly primitives: Partial<Record<Primitive, AnyRule>>;
  readonly composites: Partial<Record<CompositeName, AnyRule>>;
}

/** Rows that know blocked pictures. */
function pictureRules(
  find: (b: Builder) => Layouts,
  primitives: Record<Emitted, AnyRule>,
  composites: Record<CompositeName, AnyRule>,
): Rows {
  const pictures = (b: Builder, inputs: readonly string[], v: Value): Layouts | undefined => {
    const at = find(b);
    const fits = v.inputs.every((x, i) => hasBlocks(x.shape, at.block) && at.isBlocked(inputs[i]!));
    return fits ? at : undefined;
  };
  const sum: AnyRule = (b, inputs, v, spec) => {
    const at = pictures(b, inputs, v);
    const { axes } = (v as Value<"sum">).attrs;
    const x = v.inputs[0]!;
    if (!at || (axes.join() !== "2,3" && axes.join() !== "0,2,3"))
      return primitives.sum(b, inputs, v, spec);
    const [, , h, w] = x.shape as number[];
    const means = pixelMeans(b, at, named(inputs[0]!, x));
    const total = b.node("Mul", [means, b.floats([], [h! * w!])]);
    const overBatch =
      axes.length === 2 ? total : b.node("ReduceSum", [total, b.int64([0])], { keepdims: 1 });
    return b.node("Reshape", [overBatch, b.int64(v.shape as number[])]);
  };
  const transpose: AnyRule = (b, inputs, v, spec) => {
    const at = find(b);
    const perm = (v as Value<"transpose">).attrs.perm.join();
    const [name] = inputs;
    if (perm === "0,2,3,1" && at.isBlocked(name!)) {
      const channels = v.inputs[0]!.shape[1] as number;
      return b.node("ReorderOutput", [name!], { channels, channels_last: 1 }, NCHWC);
    }
    if (perm === "0,3,1,2" && hasBlocks(v.shape, at.block)) {
      return at.mark(b.node("ReorderInput", [name!], { channels_last: 1 }, NCHWC), "picture");
    }
    return primitives.transpose(b, inputs, v, spec);
  };
  const lined = (b: Builder, name: string, shape: readonly number[]): string =>
    b.node("Reshape", [name, b.int64([shape[0]!, sizeOf(shape.slice(1))])]);
  const concat: AnyRule = (b, inputs, v, spec) => {
    const at = find(b);
    const whole = v.inputs.every((x) => hasBlocks(x.shape, at.block));
    const some = inputs.some((name) => at.isBlocked(name));
    if ((v as Value<"concat">).attrs.axis !== 1 || !whole || !some)
      return primitives.concat(b, inputs, v, spec);
    const lines = inputs.map((name, i) => {
      const x = named(name, v.inputs[i]!);
      return lined(b, blocked(b, at, x), x.shape);
    });
    const joined = b.node("Concat", lines, { axis: 1 });
    return at.mark(b.node("Reshape", [joined, b.int64(v.shape as number[])]), "picture");
  };
  const slice: AnyRule = (b, inputs, v, spec) => {
    const at = pictures(b, inputs, v);
    const { axis, start } = (v as Value<"slice">).attrs;
    if (!at || axis !== 1 || start % at.block !== 0 || !hasBlocks(v.shape, at.block))
      return primitives.slice(b, inputs, v, spec);
    const [, c, h, w] = v.shape as [number, number, number, number];
    const lines = lined(b, inputs[0]!, v.inputs[0]!.shape as number[]);
    const [first, last] = [start * h * w, (start + c) * h * w];
    const part = b.node("Slice", [lines, b.int64([first]), b.int64([last]), b.int64([1])]);
    return at.mark(b.node("Reshape", [part, b.int64(v.shape as number[])]), "picture");
  };
  const resizeNearest: AnyRule = (b, inputs, v, spec) => {
    const at = pictures(b, inputs, v);
    const [, , h, w] = v.inputs[0]!.shape as number[];
    const [height, width] = [(v.shape[2] as number) / h!, (v.shape[3] as number) / w!];
    if (!at || !Number.isInteger(height) || !Number.isInteger(width))
      return primitives.resizeNearest(b, inputs, v, spec);
    const scales = { scales: [1, 1, height, width] };
    return at.mark(b.node("Upsample", inputs, { ...scales, mode: "nearest" }, NCHWC), "picture");
  };
  const sumPool: AnyRule = (b, inputs, v, spec) => {
    const at = pictures(b, inputs, v);
    if (!at) return primitives.sumPool(b, inputs, v, spec);
    const { factor } = (v as Value<"sumPool">).attrs;
    const c = v.shape[1] as number;
    const sides = [factor, factor];
    const ones = b.floats([c, 1, ...sides], new Float32Array(c * factor * factor).fill(1));
    const geometry = { kernel_shape: sides, strides: sides, dilations: [1, 1], pads: [0, 0, 0, 0] };
    return at.mark(b.node("Conv", [inputs[0]!, ones], { ...geometry, group: c }, NCHWC), "picture");
  };
  const normalise: AnyRule = (b, inputs, v, spec) => {
    const at = find(b);
    const [x, weight, bias] = inputs;
    if (!hasBlocks(v.shape, at.block)) return composites.groupNorm(b, inputs, v, spec);
    return groupNorm(b, at, named(x!, v), [weight!, bias!], spec);
  };
  return {
    primitives: { sum, transpose, concat, slice, resizeNearest, sumPool, detach: (_, [x]) => x! },
    composites: { groupNorm: normalise },
  };
}

/** Gradients of compositions, by the formulas that this device is fast at. */
function gradientRules(
  find: (b: Builder) => Layouts,
  plainly: (rule: AnyRule) => AnyRule,
): Readonly<Record<string, AnyRule>> {
  const all = (inputs: readonly string[], v: Value): readonly Named[] =>
    inputs.map((name, i) => named(name, v.inputs[i]!));
  type Three = readonly [Named, Named, Named];
  return {
    sigmoidUnitGrad(b, inputs, v, spec) {
      const at = find(b);
      const { factor } = spec as { factor: number };
      const tensors = all(inputs, v);
      if (hasBlocks(v.shape, at.block) && inputs.some((name) => at.isBlocked(name))) {
        const names = tensors.map((t) => blocked(b, at, t)) as [string, string, string];
        const more = (name: string): string =>
          plusOne(b, at, { name: at.mark(name, "picture"), shape: tensors[0]!.shape });
        return at.mark(sigmoidUnitGrad(b, names, factor, more), "picture");
      }
      const names = tensors.map((t) => plain(b, at, t)) as [string, string, string];
      return sigmoidUnitGrad(b, names, factor, (name) => b.node("Add", [name, b.floats([], [1])]));
    },
    geluGrad: plainly((b, [x, dy]) => geluGrad(b, [x!, dy!])),
    layerNormGrad: plainly((b, inputs, v, spec) => {
      const [x, weight, dy] = all(inputs, v) as Three;
      const { eps } = spec as { eps: number };
      return layerNormGrad(b, find(b).once, [x, weight.name, dy], eps);
    }),
    layerNormWeightGrad: plainly((b, inputs, v, spec) => {
      const [x, dy] = all(inputs, v) as Three;
      return layerNormWeightGrad(b, find(b).once, [x, dy], (spec as { eps: number }).eps);
    }),
    groupNormGrad(b, inputs, v, spec) {
      const [x, weight, dy] = all(inputs, v) as Three;
      return groupNormGrad(b, find(b), [x, weight.name, dy], spec as Groups);
    },
    groupNormWeightGrad(b, inputs, v, spec) {
      const [x, dy] = all(inputs, v) as Three;
      return groupNormWeightGrad(b, find(b), [x, dy], spec as Groups);
    },
    attentionGrad: plainly((b, inputs, v, spec) => {
      const { of, ...settings } = spec as { of: "q" | "k" | "v" } & Parameters<
        typeof attentionGrads
      >[2];
      const five = all(inputs, v) as Parameters<typeof attentionGrads>[1];
      const key = `attention ${inputs.join(" ")} ${JSON.stringify(settings)}`;
      return find(b).once(key, () => attentionGrads(b, five, settings))[of];
    }),
  };
}
