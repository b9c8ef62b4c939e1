import { invariant } from "../util/errors.js";
import { isOp, topological, type Value } from "./value.js";

/** A recorded model: named results, and what they depend on. */
export interface Graph {
  readonly outputs: Readonly<Record<string, Value>>;
  /** Fed values by name. */
  readonly inputs: ReadonlyMap<string, Value<"input">>;
  /** Weights by name. */
  readonly params: ReadonlyMap<string, Value<"param">>;
}

/** Collects what `outputs` depend on. Two different values under one name are a mistake. */
export function graphOf(outputs: Readonly<Record<string, Value>>): Graph {
  const inputs = new Map<string, Value<"input">>();
  const params = new Map<string, Value<"param">>();
  const put = <V extends Value<"input"> | Value<"param">>(map: Map<string, V>, v: V): void => {
    const known = map.get(v.attrs.name);
    invariant(known === undefined || known === v, `two values are named "${v.attrs.name}"`);
    map.set(v.attrs.name, v);
  };
  for (const v of topological(Object.values(outputs))) {
    if (isOp(v, "input")) put(inputs, v);
    else if (isOp(v, "param")) put(params, v);
  }
  return { outputs, inputs, params };
}

/** Names and shapes of the weights that a graph asks for. */
export function manifest(graph: Graph): ReadonlyMap<string, readonly number[]> {
  return new Map([...graph.params].map(([name, v]) => [name, v.shape as readonly number[]]));
}
