import { type Dim, sameDim, sameShape } from "../../graph/dim.js";
import type { Value } from "../../graph/value.js";
import { hasBlocks } from "../../tensor/blocks.js";
import { sizeOf } from "../../tensor/tensor.js";
import type { Builder } from "../builder.js";
import { CPU_RULES } from "../cpu.js";
import {
  blocked,
  type Find,
  type Layouts,
  type LooseRule,
  type LooseRules,
  type Named,
  named,
  plain,
} from "./layouts.js";

/** Operators that treat each number alike. */
const OPERATORS = {
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

const ACTIVATIONS = ["silu", "gelu", "quickGelu"] as const;

/** What an input is beside a result [B,C,H,W]: as large, or one number for all, a picture, a channel. */
type Role = "like" | "scalar" | "picture" | "channel";

/** Undefined for an input that is broadcast another way. */
function roleOf(x: Value, v: Value): Role | undefined {
  if (sameShape(x.shape, v.shape)) return "like";
  if (x.shape.every((d) => d === 1)) return "scalar";
  const [batch, channels] = v.shape as [Dim, Dim];
  if (sameShape(x.shape, [batch, 1, 1, 1])) return "picture";
  const [width = 1, height = 1, own = 1, pictures = 1] = [...x.shape].reverse();
  const byChannel = width === 1 && height === 1 && own === channels;
  return byChannel && (pictures === 1 || sameDim(pictures, batch)) ? "channel" : undefined;
}

interface Input extends Named {
  readonly role: Role;
}

/**
 * Elementwise on whatever order the largest input has: in blocks if one is, with the others brought
 * there; numbers by channel are repeated to match. Row-major where that does not go.
 */
function elementwise(find: Find, emit: LooseRule, otherwise: LooseRule): LooseRule {
  return (b, inputs, v, spec) => {
    const at = find(b);
    const roles = v.inputs.map((x) => roleOf(x, v));
    const isPacked = (i: number): boolean => at.isPacked(b, inputs[i]!, v.inputs[i]);
    if (
      roles.some((role, i) => role === "like" && isPacked(i)) &&
      roles.every((role, i) => role === "scalar" || isPacked(i))
    ) {
      return at.mark(emit(b, inputs, v, spec), "weight");
    }
    const isPicture =
      hasBlocks(v.shape, at.block) &&
      roles.some((role, i) => role === "like" && at.isBlocked(inputs[i]!));
    if (!isPicture || roles.includes(undefined)) return otherwise(b, inputs, v, spec);
    const full = inputs.map((name, i) => ({ ...named(name, v.inputs[i]!), role: roles[i]! }));
    const onBlocks = (names: readonly string[]): string => emit(b, names, v, spec);
    if (roles.includes("channel")) {
      return v.shape.every((d) => typeof d === "number")
        ? byChannel(b, at, full, v.shape as number[], onBlocks)
        : otherwise(b, inputs, v, spec);
    }
    const names = full.map((x) => (x.role === "like" ? blocked : plain)(b, at, x));
    return at.mark(onBlocks(names), "picture");
  };
}

/** With numbers by channel. Long rows are faster, so these are repeated for some pixels. */
function byChannel(
  b: Builder,
  at: Layouts,
  inputs: readonly Input[],
  shape: readonly number[],
  emit: (names: readonly string[]) => string,
): string {
  const [batch, c, h, w] = shape as [number, number, number, number];
  const times = [8, 4, 2, 1].find((k) => (h * w) % k === 0)!;
  const view = b.int64([batch, c / at.block, (h * w) / times, at.block * times]);
  const names = inputs.map((x) => {
    if (x.role === "like") return b.node("Reshape", [blocked(b, at, x), view]);
    if (x.role !== "channel") return plain(b, at, x);
    const pictures = sizeOf(x.shape) / c;
    const rows = b.int64([pictures, c / at.block, 1, at.block]);
    const shaped = b.node("Reshape", [plain(b, at, x), rows]);
    return times === 1 ? shaped : b.node("Tile", [shaped, b.int64([1, 1, 1, times])]);
  });
  return at.mark(b.node("Reshape", [emit(names), b.int64(shape)]), "picture");
}

/** Rows for arithmetic and activations, number by number. */
export function elementwiseRules(find: Find, { primitives, composites }: LooseRules): LooseRules {
  const operators = Object.entries(OPERATORS).map(([op, operator]): [string, LooseRule] => [
    op,
    elementwise(find, (b, inputs) => b.node(operator, inputs), primitives[op]!),
  ]);
  const activations = ACTIVATIONS.map((name): [string, LooseRule] => [
    name,
    elementwise(find, CPU_RULES.composites[name] as LooseRule, composites[name]!),
  ]);
  return {
    primitives: Object.fromEntries(operators),
    composites: Object.fromEntries(activations),
  };
}
