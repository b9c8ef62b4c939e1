import { invariant } from "../util/errors.js";
import { type Dim, sameDim, showShape } from "./dim.js";
import { GRADIENTS, type GradientRule, sourcesOf } from "./gradients.js";
import * as op from "./ops.js";
import { isOp, type Primitive, topological, type Value } from "./value.js";

/** How a gradient is worked out. */
export interface GradOptions {
  /**
   * The results that the backward pass may take from the forward pass, beside weights and inputs; all
   * others that it needs are worked out again from these. See `checkpoints.ts`. Default: all.
   */
  readonly keep?: ReadonlySet<Value>;
}

/**
 * How `loss`, a single number, changes with each value of `wrt`, as more of the same graph: reverse
 * mode. A value that the loss does not depend on gets zeros.
 */
export function grad(loss: Value, wrt: readonly Value[], { keep }: GradOptions = {}): Value[] {
  invariant(
    loss.type === "float" && loss.shape.every((d) => sameDim(d, 1)),
    `grad: expected a loss of one number, got ${loss.type} ${showShape(loss.shape)}`,
  );
  const order = topological([loss], sourcesOf);
  const wanted = new Set(wrt);
  const active = dependents(order, wanted);
  const recall = keep ? recomputed(loss, keep) : (v: Value): Value => v;
  const parts = new Map<Value, Value[]>([[loss, [numbers(loss.shape, 1)]]]);
  const gradients = new Map<Value, Value>();
  for (const v of [...order].reverse()) {
    const contributions = parts.get(v);
    if (!contributions || !active.has(v)) continue;
    parts.delete(v);
    const dy = total(contributions);
    if (wanted.has(v)) gradients.set(v, dy);
    const again = keep ? { ...v, inputs: v.inputs.map(recall) } : v;
    const shares = (GRADIENTS[v.op] as GradientRule<Primitive>)(again, dy, recall(v));
    sourcesOf(v).forEach((source, i) => {
      const share = shares[i];
      if (share && active.has(source)) parts.set(source, [...(parts.get(source) ?? []), share]);
    });
  }
  return wrt.map((v) => gradients.get(v) ?? numbers(v.shape, 0));
}

/** Every value that `loss` depends on, made anew from `keep`, weights, inputs and constants. */
function recomputed(loss: Value, keep: ReadonlySet<Value>): (v: Value) => Value {
  const anew = new Map<Value, Value>();
  const recall = (v: Value): Value => anew.get(v) ?? v;
  const insides = (v: Value): readonly Value[] =>
    isOp(v, "composite") ? [...v.inputs, v.attrs.expansion] : v.inputs;
  for (const v of topological([loss], insides)) {
    if (v.inputs.length === 0 || keep.has(v)) continue;
    const inputs = v.inputs.map(recall);
    if (!isOp(v, "composite")) anew.set(v, { ...v, inputs });
    else anew.set(v, op.composite(v.attrs.name, v.attrs.spec, inputs, recall(v.attrs.expansion)));
  }
  return recall;
}

/** The values of `order` that a gradient passes on its way to `wanted`. */
function dependents(order: readonly Value[], wanted: ReadonlySet<Value>): ReadonlySet<Value> {
  const found = new Set<Value>();
  for (const v of order) {
    const depends = wanted.has(v) || sourcesOf(v).some((source) => found.has(source));
    if (v.type === "float" && depends) found.add(v);
  }
  return found;
}

/** The same number everywhere. */
function numbers(shape: readonly Dim[], value: number): Value {
  return op.expand(op.constant([], [value]), shape);
}

/** The sum of what the users of one value say. */
function total(contributions: readonly Value[]): Value {
  return joined(contributions) ?? contributions.reduce((a, b) => op.add(a, b));
}

/** Gradients of slices that tile an axis, one after another: what padding and adding them gives. */
function joined(contributions: readonly Value[]): Value | undefined {
  const [first] = contributions;
  if (contributions.length < 2 || !isOp(first!, "pad")) return undefined;
  const axis = first.attrs.pads.findIndex(([before, after]) => before + after > 0);
  const parts: { readonly start: number; readonly part: Value }[] = [];
  for (const v of contributions) {
    if (!isOp(v, "pad")) return undefined;
    if (v.attrs.pads.some(([before, after], i) => i !== axis && before + after > 0))
      return undefined;
    parts.push({ start: v.attrs.pads[axis]![0], part: v.inputs[0]! });
  }
  parts.sort((a, b) => a.start - b.start);
  let end = 0;
  for (const { start, part } of parts) {
    if (start !== end) return undefined;
    end += part.shape[axis] as number;
  }
  return end === first.shape[axis]
    ? op.concat(
        parts.map(({ part }) => part),
        axis,
      )
    : undefined;
}
