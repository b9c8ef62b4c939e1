import type { Value } from "../../graph/value.js";
import { hasBlocks, packable } from "../../tensor/blocks.js";
import { convolutionRules } from "../blocks/convolutions.js";
import { elementwiseRules } from "../blocks/elementwise.js";
import {
  blocked,
  type Find,
  type LooseRules,
  layoutsOf,
  type Named,
  named,
  packed,
  plain,
} from "../blocks/layouts.js";
import { pictureRules } from "../blocks/pictures.js";
import { layered, plainly, plainRules } from "../blocks/rules.js";
import type { LoweringRules } from "../rules.js";
import { convolutionGradRules } from "./convolutions.js";
import { matrixRules } from "./matrices.js";
import {
  type Groups,
  groupNormGrad,
  groupNormWeightGrad,
  plusOne,
  sigmoidUnitGrad,
} from "./norms.js";
import { reductionRules } from "./pictures.js";
import { attentionGrads, geluGrad, layerNormGrad, layerNormWeightGrad } from "./tokens.js";

/**
 * Rows for training on ONNX Runtime's CPU provider. With blocked convolutions, of `block` channels a
 * block, pictures stay in blocks from one to the next (see layouts.ts): rows that know what to
 * do with them take them as they are, all others get them in row-major order.
 */
export function trainingRules(block: number = Number.POSITIVE_INFINITY): LoweringRules {
  const find = layoutsOf(block, "fed");
  const { primitives, composites } = layered(
    plainRules(find),
    () => gradientRules(find),
    (rules) => matrixRules(find, rules),
    (rules) => elementwiseRules(find, rules),
    (rules) => pictureRules(find, rules),
    (rules) => reductionRules(find, rules),
    () => convolutionRules(find),
    () => convolutionGradRules(find),
  );
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

/** Gradients of compositions, by the formulas that this device is fast at. */
function gradientRules(find: Find): LooseRules {
  const whole = plainly(find);
  const all = (inputs: readonly string[], v: Value): readonly Named[] =>
    inputs.map((name, i) => named(name, v.inputs[i]!));
  type Three = readonly [Named, Named, Named];
  const composites: LooseRules["composites"] = {
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
    geluGrad: whole((b, [x, dy]) => geluGrad(b, [x!, dy!])),
    layerNormGrad: whole((b, inputs, v, spec) => {
      const [x, weight, dy] = all(inputs, v) as Three;
      const { eps } = spec as { eps: number };
      return layerNormGrad(b, find(b).once, [x, weight.name, dy], eps);
    }),
    layerNormWeightGrad: whole((b, inputs, v, spec) => {
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
    attentionGrad: whole((b, inputs, v, spec) => {
      const { of, ...settings } = spec as { of: "q" | "k" | "v" } & Parameters<
        typeof attentionGrads
      >[2];
      const five = all(inputs, v) as Parameters<typeof attentionGrads>[1];
      const key = `attention ${inputs.join(" ")} ${JSON.stringify(settings)}`;
      return find(b).once(key, () => attentionGrads(b, five, settings))[of];
    }),
  };
  return { primitives: {}, composites };
}
