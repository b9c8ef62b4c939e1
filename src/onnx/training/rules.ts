import type { Value } from "../../graph/value.js";
import { CPU_RULES } from "../cpu.js";
import { STANDARD_PRIMITIVES } from "../primitives.js";
import type { LoweringRules } from "../rules.js";
import { convolutionRules } from "./convolutions.js";
import { elementwiseRules } from "./elementwise.js";
import {
  blocked,
  type Find,
  hasBlocks,
  type LooseRule,
  type LooseRules,
  layoutsOf,
  type Named,
  named,
  packable,
  packed,
  plain,
} from "./layouts.js";
import { matrixRules } from "./matrices.js";
import {
  type Groups,
  groupNormGrad,
  groupNormWeightGrad,
  plusOne,
  sigmoidUnitGrad,
} from "./norms.js";
import { pictureRules } from "./pictures.js";
import { attentionGrads, geluGrad, layerNormGrad, layerNormWeightGrad } from "./tokens.js";

/**
 * Rows for training on ONNX Runtime's CPU provider. With blocked convolutions, of `block` channels a
 * block, pictures stay in blocks from one to the next (see layouts.ts): rows that know what to
 * do with them take them as they are, all others get them in row-major order.
 */
export function trainingRules(block: number = Number.POSITIVE_INFINITY): LoweringRules {
  const find = layoutsOf(block);
  const plainly =
    (rule: LooseRule): LooseRule =>
    (b, inputs, v, spec) => {
      const at = find(b);
      const names = inputs.map((x, i) => plain(b, at, named(x, v.inputs[i]!), v.inputs[i]));
      return rule(b, names, v, spec);
    };
  const all = (rules: object): Record<string, LooseRule> =>
    Object.fromEntries(Object.entries(rules).map(([name, rule]) => [name, plainly(rule)]));
  const standard: LooseRules = {
    primitives: all(STANDARD_PRIMITIVES),
    composites: { ...all(CPU_RULES.composites), ...gradientRules(find, plainly) },
  };
  const matrices = merged(standard, matrixRules(find, standard));
  const numbers = merged(matrices, elementwiseRules(find, matrices));
  const pictures = merged(numbers, pictureRules(find, numbers));
  const { primitives, composites } = merged(pictures, convolutionRules(find));
  return {
    primitives: primitives as unknown as LoweringRules["primitives"],
    composites: composites as unknown as LoweringRules["composites"],
    expands: ({ attrs: { name }, shape, inputs }) =>
      (name === "groupNormGrad" && !hasBlocks(shape, block)) ||
      (name === "groupNormWeightGrad" && !hasBlocks(inputs[0]!.shape, block)),
    leave(b, name, v, asWeight) {
      const at = find(b);
      const x = named(name, v);
      return asWeight && packable(v.shape, block) ? packed(b, at, x, v) : plain(b, at, x, v);
    },
  };
}

const merged = (rules: LooseRules, better: LooseRules): LooseRules => ({
  primitives: { ...rules.primitives, ...better.primitives },
  composites: { ...rules.composites, ...better.composites },
});

/** Gradients of compositions, by the formulas that this device is fast at. */
function gradientRules(
  find: Find,
  plainly: (rule: LooseRule) => LooseRule,
): Readonly<Record<string, LooseRule>> {
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
