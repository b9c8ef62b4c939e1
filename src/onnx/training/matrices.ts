import type { Value } from "../../graph/value.js";
import {
  type Find,
  type Layouts,
  type LooseRule,
  type LooseRules,
  MICROSOFT,
  type Named,
  named,
  plain,
} from "../blocks/layouts.js";
import type { Builder } from "../builder.js";
import { CPU_RULES } from "../cpu.js";

/*
 * Rows for products of matrices. What a layer makes may only be cut in halves (as a gated MLP does),
 * and the gradients of the halves only be joined to go back through it. Both would copy the largest
 * tensors of a transformer; so layers cut along their last axis compute each piece for itself, and
 * joined tensors stay apart until someone wants them whole.
 */

const lastOf = (v: Value): number => v.shape.at(-1) as number;
const isStatic = (v: Value): boolean => v.shape.every((d) => typeof d === "number");

/** Tensors that `x` is joined from along its last axis; itself alone if it is not. */
const partsOf = (at: Layouts, name: string): readonly Named[] | undefined => at.lazy(name)?.parts;

/** Joins tensors along their last axis, once someone wants that. */
function joined(b: Builder, at: Layouts, parts: readonly Named[]): string {
  return at.later({
    parts,
    make: () =>
      b.node(
        "Concat",
        parts.map((x) => plain(b, at, x)),
        { axis: parts[0]!.shape.length - 1 },
      ),
  });
}

/** Rows [start, start + size) of a matrix or vector. */
function rows(b: Builder, name: string, start: number, size: number): string {
  return b.node("Slice", [name, b.int64([start]), b.int64([start + size]), b.int64([0])]);
}

function linear(find: Find): LooseRule {
  const emit = CPU_RULES.composites.linear as unknown as LooseRule;
  return (b, inputs, v, spec) => {
    const at = find(b);
    const whole = (): string[] =>
      inputs.map((name, i) => plain(b, at, named(name, v.inputs[i]!), v.inputs[i]));
    if (!isStatic(v)) return emit(b, whole(), v, spec);
    const slice = (start: number, size: number): string => {
      const [x, ...weights] = whole();
      const pieces = weights.map((name) => rows(b, name, start, size));
      return emit(b, [x!, ...pieces], { ...v, shape: [...v.shape.slice(0, -1), size] }, spec);
    };
    return at.later({ make: () => emit(b, whole(), v, spec), slice });
  };
}

/** A product whose left side is joined from parts: a sum of products, or products one below another. */
function partsProduct(
  b: Builder,
  at: Layouts,
  parts: readonly Named[],
  right: string,
  transA: boolean,
): string {
  if (transA) {
    const products = parts.map((x) => b.node("Gemm", [plain(b, at, x), right], { transA: 1 }));
    return b.node("Concat", products, { axis: 0 });
  }
  let start = 0;
  let total: string | undefined;
  for (const x of parts) {
    const size = x.shape[1]!;
    const pair = [plain(b, at, x), rows(b, right, start, size)];
    total = b.node("Gemm", total === undefined ? pair : [...pair, total]);
    start += size;
  }
  return total!;
}

function matmul(find: Find): LooseRule {
  return (b, inputs, v) => {
    const at = find(b);
    const { transA, transB } = (v as Value<"matmul">).attrs;
    const isMatrix = v.inputs.every((x) => x.shape.length === 2);
    const [x, y] = inputs.map((name, i) => named(name, v.inputs[i]!)) as [Named, Named];
    const parts = partsOf(at, x.name);
    const right = plain(b, at, y, v.inputs[1]);
    if (parts && isMatrix && !transB) return partsProduct(b, at, parts, right, transA);
    const left = plain(b, at, x, v.inputs[0]);
    if (!transA && !transB) return b.node("MatMul", [left, right]);
    const attributes = { transA: transA ? 1 : 0, transB: transB ? 1 : 0 };
    return isMatrix
      ? b.node("Gemm", [left, right], attributes)
      : b.node("FusedMatMul", [left, right], attributes, MICROSOFT);
  };
}

/** A sum of rows is a product with ones. */
function sum(find: Find, otherwise: LooseRule): LooseRule {
  return (b, inputs, v, spec) => {
    const at = find(b);
    const x = v.inputs[0]!;
    if (x.shape.length !== 2 || (v as Value<"sum">).attrs.axes.join() !== "0" || !isStatic(x))
      return otherwise(b, inputs, v, spec);
    const count = x.shape[0] as number;
    const ones = b.floats([1, count], new Float32Array(count).fill(1));
    const total = (part: Named): string => b.node("MatMul", [ones, plain(b, at, part)]);
    const parts = partsOf(at, inputs[0]!);
    if (!parts) return total(named(inputs[0]!, x));
    return b.node("Concat", parts.map(total), { axis: 1 });
  };
}

/** Rows for products, and for what cuts and joins their results. */
export function matrixRules(find: Find, { primitives }: LooseRules): LooseRules {
  const slice: LooseRule = (b, inputs, v, spec) => {
    const { axis, start } = (v as Value<"slice">).attrs;
    const cut = find(b).lazy(inputs[0]!)?.slice;
    return cut && axis === v.shape.length - 1
      ? cut(start, lastOf(v))
      : primitives.slice!(b, inputs, v, spec);
  };
  const concat: LooseRule = (b, inputs, v, spec) => {
    const last = v.shape.length - 1;
    const isLast = (v as Value<"concat">).attrs.axis === last && last > 0;
    if (!isLast || !v.inputs.every(isStatic)) return primitives.concat!(b, inputs, v, spec);
    return joined(
      b,
      find(b),
      inputs.map((name, i) => named(name, v.inputs[i]!)),
    );
  };
  const reshape: LooseRule = (b, inputs, v, spec) => {
    const at = find(b);
    const parts = partsOf(at, inputs[0]!);
    const keeps = isStatic(v) && v.shape.length > 1 && lastOf(v) === lastOf(v.inputs[0]!);
    if (!parts || !keeps) return primitives.reshape!(b, inputs, v, spec);
    const reshaped = parts.map((part): Named => {
      const shape = [...(v.shape.slice(0, -1) as number[]), part.shape.at(-1)!];
      return { name: b.node("Reshape", [plain(b, at, part), b.int64(shape)]), shape };
    });
    return joined(b, at, reshaped);
  };
  return {
    primitives: { matmul: matmul(find), sum: sum(find, primitives.sum!), slice, concat, reshape },
    composites: { linear: linear(find) },
  };
}
