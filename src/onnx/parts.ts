import type { Graph } from "../graph/graph.js";
import { isOp, type Value } from "../graph/value.js";

/** A linear layer, as the composition that it is. */
type Linear = Value<"composite">;

/** What a lowering knows of values. */
interface Known {
  readonly insides: (v: Value) => readonly Value[];
  /** Whether the weight of this name has bytes in a place of their own. */
  readonly isPlaced: (name: string) => boolean;
  readonly isFused: (v: Linear) => boolean;
}

/**
 * Linear layers whose results are only ever used in parts, as those of GEGLU are: each part is a linear
 * layer of some rows of the weight, and nothing has to be copied. Rows that overlap would be
 * multiplied twice, and are left as they are.
 */
export function linearsInParts(
  order: readonly Value[],
  graph: Graph,
  known: Known,
): ReadonlySet<Value> {
  const users = new Map<Value, Value[]>();
  for (const v of order)
    for (const x of known.insides(v)) users.set(x, [...(users.get(x) ?? []), v]);
  const outputs = new Set(Object.values(graph.outputs));
  const isPart = (v: Value): v is Value<"slice"> =>
    isOp(v, "slice") && v.attrs.axis === v.shape.length - 1 && typeof v.shape.at(-1) === "number";
  return new Set(
    order.filter((v) => {
      if (outputs.has(v) || !isLinear(v, known)) return false;
      const parts = users.get(v) ?? [];
      return parts.every(isPart) && areApart(parts);
    }),
  );
}

function isLinear(v: Value, { isFused, isPlaced }: Known): v is Linear {
  if (!isOp(v, "composite") || v.attrs.name !== "linear" || !isFused(v)) return false;
  return v.inputs.slice(1).every((p) => isOp(p, "param") && isPlaced(p.attrs.name));
}

/** Whether no two parts have a column in common. */
function areApart(parts: readonly Value<"slice">[]): boolean {
  const sorted = parts.toSorted((a, b) => a.attrs.start - b.attrs.start);
  return sorted.every((part, i) => {
    const before = sorted[i - 1];
    return !before || before.attrs.start + (before.shape.at(-1) as number) <= part.attrs.start;
  });
}
