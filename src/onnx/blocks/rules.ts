import { CPU_RULES } from "../cpu.js";
import { STANDARD_PRIMITIVES } from "../primitives.js";
import type { LoweringRules } from "../rules.js";
import { convolutionRules } from "./convolutions.js";
import { elementwiseRules } from "./elementwise.js";
import { type Find, type LooseRule, type LooseRules, layoutsOf, named, plain } from "./layouts.js";
import { pictureRules } from "./pictures.js";

/** A row that gets all of its inputs in row-major order. */
export const plainly =
  (find: Find) =>
  (rule: LooseRule): LooseRule =>
  (b, inputs, v, spec) => {
    const at = find(b);
    const names = inputs.map((x, i) => plain(b, at, named(x, v.inputs[i]!), v.inputs[i]));
    return rule(b, names, v, spec);
  };

/** The CPU's rows, over tensors in row-major order. */
export function plainRules(find: Find): LooseRules {
  const all = (rules: object): Record<string, LooseRule> =>
    Object.fromEntries(Object.entries(rules).map(([name, rule]) => [name, plainly(find)(rule)]));
  return { primitives: all(STANDARD_PRIMITIVES), composites: all(CPU_RULES.composites) };
}

/** Rows that know more, over rows that know less: each is told of those before it. */
export function layered(
  rules: LooseRules,
  ...better: readonly ((otherwise: LooseRules) => LooseRules)[]
): LooseRules {
  return better.reduce((known, make) => {
    const { primitives, composites } = make(known);
    return {
      primitives: { ...known.primitives, ...primitives },
      composites: { ...known.composites, ...composites },
    };
  }, rules);
}

/**
 * Rows for ONNX Runtime's CPU provider over weights of convolutions that lie in blocks of `block`
 * channels in their files already: the engine would put them in that order itself, on one core.
 */
export function blockedRules(block: number): LoweringRules {
  const find = layoutsOf(block, "all");
  const { primitives, composites } = layered(
    plainRules(find),
    (rules) => elementwiseRules(find, rules),
    (rules) => pictureRules(find, rules),
    () => convolutionRules(find),
  );
  return {
    primitives: primitives as unknown as LoweringRules["primitives"],
    composites: composites as unknown as LoweringRules["composites"],
    leave: (b, name, v) => plain(b, find(b), named(name, v), v),
  };
}
