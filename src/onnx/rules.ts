import type { CompositeName, CompositeSpecs } from "../graph/composites.js";
import type { Primitive, Value } from "../graph/value.js";
import type { Builder } from "./builder.js";

/** Emits one value: its inputs' names in, its own name out. */
export type Rule<P extends Primitive> = (
  b: Builder,
  inputs: readonly string[],
  v: Value<P>,
) => string;

/** Emits a whole composition in place of its expansion. */
export type CompositeRule<C extends CompositeName> = (
  b: Builder,
  inputs: readonly string[],
  v: Value<"composite">,
  spec: CompositeSpecs[C],
) => string;

/** Primitives with a row of their own; leaves and compositions are the lowering's. */
export type Emitted = Exclude<Primitive, "input" | "param" | "composite">;

/** How one device wants each primitive, and the compositions that it has kernels for. */
export interface LoweringRules {
  readonly primitives: { readonly [P in Emitted]: Rule<P> };
  readonly composites: { readonly [C in CompositeName]?: CompositeRule<C> };
  /** Compositions that are emitted as their expansion, though there is a row for their name. */
  readonly expands?: (v: Value<"composite">) => boolean;
  /**
   * Names what leaves the graph: row-major, or for the gradient of a fed weight in the order that the
   * weight is fed in. Rows that keep all values row-major have no need of it.
   */
  readonly leave?: (b: Builder, name: string, v: Value, asWeight: boolean) => string;
}
