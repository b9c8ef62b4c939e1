import * as op from "../graph/ops.js";
import type { Value } from "../graph/value.js";
import { invariant } from "../util/errors.js";

/** How a parameter starts when nothing is loaded. */
export type Init =
  | { readonly kind: "constant"; readonly value: number }
  /** Around 0, or around `mean`. */
  | { readonly kind: "normal"; readonly std: number; readonly mean?: number }
  /** Uniform in [-bound, bound). */
  | { readonly kind: "uniform"; readonly bound: number };

/** What a model says of one parameter by asking for it. */
export interface ParamDeclaration {
  readonly name: string;
  readonly shape: readonly number[];
  readonly init: Init;
}

/** How a layer's weight meets its input; adapters and quantized weights put another rule here. */
export interface WeightRule {
  /** x [..., I] -> [..., O], bias included when `bias` is true. */
  linear(p: Params, x: Value, outFeatures: number, bias: boolean): Value;
  /** The results of a linear layer with a bias in `count` equal parts; without one, they are cut. */
  linearParts?(p: Params, x: Value, outFeatures: number, count: number): readonly Value[];
  /** x [B,C,H,W] -> [B,O,H',W'], bias included. */
  conv2d(
    p: Params,
    x: Value,
    outChannels: number,
    kernel: number,
    options: op.Conv2dOptions,
  ): Value;
  /** Group normalisation of x [B,C,H,W]; without one, of each x by its own statistics. */
  groupNorm?(p: Params, x: Value, groups: number, eps: number): Value;
}

/**
 * A view of a model's parameters below one prefix. Asking for a parameter declares it; asking again
 * gives the same value.
 */
export interface Params {
  /** The prefix, without a trailing dot; empty at the root. */
  readonly path: string;
  readonly rule: WeightRule;
  /** The parameters below `name`. */
  at(name: string | number): Params;
  /** Declares `path.name` with this shape. */
  get(name: string, shape: readonly number[], init: Init): Value;
}

/** The parameters of one model while it is traced, and what it has declared so far. */
export interface RootParams extends Params {
  readonly declared: ReadonlyMap<string, ParamDeclaration>;
}

/** The same parameters, where those called `weight` and `bias` start otherwise than their layers say. */
export function withInit(
  p: Params,
  init: { readonly weight?: Init; readonly bias?: Init },
): Params {
  return {
    path: p.path,
    rule: p.rule,
    at: (name) => withInit(p.at(name), init),
    get(name, shape, usual) {
      const last = name.slice(name.lastIndexOf(".") + 1);
      const own = last === "weight" ? init.weight : last === "bias" ? init.bias : undefined;
      return p.get(name, shape, own ?? usual);
    },
  };
}

/** The same parameters, met by another rule. */
export function withRule(p: Params, rule: WeightRule): Params {
  return { ...p, rule, at: (name) => withRule(p.at(name), rule) };
}

/** The same parameters, all starting as zeros: the layer adds nothing until it has learned something. */
export function zeroed(p: Params): Params {
  const zeros: Init = { kind: "constant", value: 0 };
  return withInit(p, { weight: zeros, bias: zeros });
}

/** Parameters for one trace. */
export function params(rule: WeightRule): RootParams {
  const declared = new Map<string, ParamDeclaration>();
  const values = new Map<string, Value>();
  const get = (name: string, shape: readonly number[], init: Init): Value => {
    const known = values.get(name);
    if (known !== undefined) {
      invariant(
        `${known.shape}` === `${shape}`,
        `parameter ${name} is [${known.shape}] and was asked for as [${shape}]`,
      );
      return known;
    }
    const value = op.param(name, shape);
    values.set(name, value);
    declared.set(name, { name, shape, init });
    return value;
  };
  const view = (path: string): Params => {
    const join = (name: string | number): string => (path === "" ? `${name}` : `${path}.${name}`);
    return {
      path,
      rule,
      at: (name) => view(join(name)),
      get: (name, shape, init) => get(join(name), shape, init),
    };
  };
  return { ...view(""), declared };
}
