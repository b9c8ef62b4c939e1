import type { Value } from "../../graph/value.js";
import { isOp } from "../../graph/value.js";
import { packable } from "../../tensor/blocks.js";
import type { Builder } from "../builder.js";
import type { OnnxNode } from "../model.js";

/*
 * ONNX Runtime's fast convolutions read and write blocked tensors: channels in blocks of (mostly) 16
 * that lie innermost. A graph may use them itself (domain com.microsoft.nchwc). Their declared shapes
 * stay [B,C,H,W] and [O,I,kh,kw], while the numbers lie as
 *
 *   pictures  [B, C/16, H, W, 16]
 *   weights   [O/16, I/16, kh, kw, 16 of I, 16 of O]
 *
 * so each name of a lowering has an order, and whoever reads it must ask for the order it needs.
 */

export const MICROSOFT = "com.microsoft";
export const NCHWC = "com.microsoft.nchwc";

/** A tensor while it is lowered: its name in the session, and its declared shape, known but for symbols. */
export interface Named {
  readonly name: string;
  readonly shape: readonly number[];
}

export const named = (name: string, v: Value): Named => ({
  name,
  shape: v.shape as readonly number[],
});

/** A row for a primitive or a composition, found by its name. */
export type LooseRule = (b: Builder, inputs: readonly string[], v: Value, spec: never) => string;

/** Rows by name. */
export interface LooseRules {
  readonly primitives: Readonly<Record<string, LooseRule>>;
  readonly composites: Readonly<Record<string, LooseRule>>;
}

/** Finds what the lowering behind a builder remembers. */
export type Find = (b: Builder) => Layouts;

/** A tensor that is not worked out until someone asks for it whole. */
export interface Lazy {
  make(): string;
  /** What it is joined from, along its last axis. */
  readonly parts?: readonly Named[];
  /** Works out [start, start + size) of its last axis alone. */
  readonly slice?: (start: number, size: number) => string;
}

/** Orders of memory beside row-major. */
type Order = "picture" | "weight";

/** What one lowering remembers, beside its nodes. */
export interface Layouts {
  /** Channels that lie together. */
  readonly block: number;
  /** Makes what a key stands for on first use. */
  once<T>(key: string, make: () => T): T;
  /** Notes the order of a tensor that was just made; returns its name. */
  mark(name: string, order: Order): string;
  /** Puts a tensor off; returns a name for it, which no node may take. */
  later(lazy: Lazy): string;
  /** What stands behind a name that `later` gave. */
  lazy(name: string): Lazy | undefined;
  /** Whether these are the numbers of a picture in blocks. */
  isBlocked(name: string): boolean;
  /** Whether these are the numbers of a weight in blocks. */
  isPacked(b: Builder, name: string, v?: Value): boolean;
}

/** Which weights come in blocks: those that are fed, or those that lie in files as well. */
export type PackedWeights = "fed" | "all";

/** Keeps what each lowering remembers. */
export function layoutsOf(block: number, weights: PackedWeights): Find {
  const known = new WeakMap<readonly OnnxNode[], Layouts>();
  return (b) => {
    const found = known.get(b.nodes) ?? newLayouts(block, weights);
    known.set(b.nodes, found);
    return found;
  };
}

function newLayouts(block: number, weights: PackedWeights): Layouts {
  const made = new Map<string, unknown>();
  const orders = new Map<string, Order>();
  const lazies = new Map<string, Lazy>();
  return {
    block,
    once<T>(key: string, make: () => T): T {
      const found = made.get(key) ?? make();
      made.set(key, found);
      return found as T;
    },
    mark(name, order) {
      orders.set(name, order);
      return name;
    },
    later(lazy) {
      const name = `later ${lazies.size}`;
      lazies.set(name, lazy);
      return name;
    },
    lazy: (name) => lazies.get(name),
    isBlocked: (name) => orders.get(name) === "picture",
    isPacked(b, name, v) {
      if (orders.has(name)) return orders.get(name) === "weight";
      const param = v !== undefined && isOp(v, "param") && packable(v.shape, block);
      if (!param || v.attrs.name !== name) return false; // a cast has another name
      return weights === "all" || !b.initializers.some((t) => t.name === name);
    },
  };
}

/** The numbers of x [B,C,H,W] in blocks. */
export function blocked(b: Builder, at: Layouts, { name, shape }: Named): string {
  const lazy = at.lazy(name);
  if (lazy) return blocked(b, at, { name: at.once(name, lazy.make), shape });
  if (at.isBlocked(name) || (shape[2] === 1 && shape[3] === 1)) return name;
  return at.once(`blocked ${name}`, () =>
    at.mark(b.node("ReorderInput", [name], {}, NCHWC), "picture"),
  );
}

/** The numbers of a tensor in row-major order. */
export function plain(b: Builder, at: Layouts, { name, shape }: Named, v?: Value): string {
  const lazy = at.lazy(name);
  if (lazy) return at.once(name, lazy.make);
  if (at.isBlocked(name)) {
    return at.once(`plain ${name}`, () =>
      b.node("ReorderOutput", [name], { channels: shape[1]! }, NCHWC),
    );
  }
  return at.isPacked(b, name, v)
    ? at.once(`plain ${name}`, () => unpacked(b, at.block, { name, shape }))
    : name;
}

/** The numbers of a weight in blocks. */
export function packed(b: Builder, at: Layouts, { name, shape }: Named, v?: Value): string {
  if (at.isPacked(b, name, v)) return name;
  const lazy = at.lazy(name);
  if (lazy) return packed(b, at, { name: at.once(name, lazy.make), shape });
  return at.once(`packed ${name}`, () => {
    const [o, i, kh, kw] = shape as [number, number, number, number];
    const n = at.block;
    const split = b.node("Reshape", [name, b.int64([o / n, n, i / n, n, kh, kw])]);
    const turned = b.node("Transpose", [split], { perm: [0, 2, 4, 5, 3, 1] });
    return at.mark(b.node("Reshape", [turned, b.int64(shape)]), "weight");
  });
}

function unpacked(b: Builder, n: number, { name, shape }: Named): string {
  const [o, i, kh, kw] = shape as [number, number, number, number];
  const split = b.node("Reshape", [name, b.int64([o / n, i / n, kh, kw, n, n])]);
  const turned = b.node("Transpose", [split], { perm: [0, 5, 1, 4, 2, 3] });
  return b.node("Reshape", [turned, b.int64(shape)]);
}

/** A table of whole numbers: rows to gather. */
export function indices(
  b: Builder,
  at: Layouts,
  key: string,
  shape: readonly number[],
  fill: (put: (index: number) => void) => void,
): string {
  return at.once(key, () => {
    const values = new Int32Array(shape.reduce((n, d) => n * d, 1));
    let k = 0;
    fill((index) => {
      values[k++] = index;
    });
    const bytes = new Uint8Array(values.buffer);
    b.initializer({ name: key, dtype: "i32", shape, data: { kind: "inline", bytes } });
    return key;
  });
}

/** Each of the `count` matrices [n, n] of x transposed: a product with the identity is fastest. */
export function turnBlocks(b: Builder, n: number, x: string, count: number): string {
  const blocks = b.node("Reshape", [x, b.int64([count, n, n])]);
  const identity = new Float32Array(n * n);
  for (let i = 0; i < n; i++) identity[i * (n + 1)] = 1;
  return b.node("FusedMatMul", [blocks, b.floats([n, n], identity)], { transA: 1 }, MICROSOFT);
}
