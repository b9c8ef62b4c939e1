import {
  addDims,
  type Bindings,
  type Dim,
  dimProduct,
  evaluateDim,
  floorDivDim,
  mulDims,
  symbolsOf,
} from "../graph/dim.js";
import type { Builder } from "./builder.js";
import { CPU_RULES } from "./cpu.js";
import { STANDARD_PRIMITIVES } from "./primitives.js";
import type { CompositeRule, LoweringRules } from "./rules.js";
import { cosine, sine } from "./trigonometry.js";

/** What the lowering must know of a WebGPU adapter and of what will be asked of it. */
export interface WebGpuLimits {
  /** Bytes that one storage binding may have (`maxStorageBufferBindingSize`). */
  readonly bindingBytes: number;
  /**
   * Sizes of the largest picture that attention is cut for; symbols that are not named count as
   * `h`. Smaller ones run in the same graph.
   */
  readonly largest: Bindings;
}

/** What every adapter allows, and 1024 x 1024 pixels with guidance. */
export const WEBGPU_BASELINE: WebGpuLimits = {
  bindingBytes: 128 << 20,
  largest: { b: 2, p: 2, h: 128, w: 128 },
};

const FLOAT_BYTES = 4;

/** [B,N,C] -> [B,heads,N,C/heads], or [B,heads,C/heads,N] for the keys. */
function splitHeads(
  b: Builder,
  x: string,
  [batch, n, c]: readonly [Dim, Dim, number],
  heads: number,
  perm: readonly number[],
): string {
  const split = b.reshape(x, [batch, n, c], [batch, n, heads, c / heads]);
  return b.node("Transpose", [split], { perm });
}

/**
 * Attention in small steps: the fused kernels are wrong on adapters with few lanes. Queries are cut
 * into chunks, so that no matrix of scores outgrows a binding at the largest size.
 */
const attention =
  (limits: WebGpuLimits): CompositeRule<"attention"> =>
  (b, [q, k, v], node, { heads, scale, causal }) => {
    const [batch, n, c] = node.shape as readonly [Dim, Dim, number];
    const m = node.inputs[1]!.shape[1]!;
    const scaled = b.node("Mul", [q!, b.floats([], [scale])]);
    const queries = splitHeads(b, scaled, [batch, n, c], heads, [0, 2, 1, 3]);
    const keys = splitHeads(b, k!, [batch, m, c], heads, [0, 2, 3, 1]);
    const values = splitHeads(b, v!, [batch, m, c], heads, [0, 2, 1, 3]);
    const attend = (rows: string, mask?: string): string => {
      const scores = b.node("MatMul", [rows, keys]); // [B,heads,rows,M]
      const masked = mask === undefined ? scores : b.node("Add", [scores, mask]);
      return b.node("MatMul", [b.node("Softmax", [masked], { axis: -1 }), values]);
    };
    // A causal mask needs known lengths, and only text has those.
    const rowElements = dimProduct([batch, heads, m]);
    const count = causal ? 1 : chunkCount(n, rowElements, limits);
    b.allocates(mulDims(rowElements, count === 1 ? n : chunkRows(n, count)));
    const mask = causal ? causalMask(b, n as number, m as number) : undefined;
    const mixed =
      count === 1 ? attend(queries, mask) : inChunks(b, queries, n, count, (rows) => attend(rows));
    const joined = b.node("Transpose", [mixed], { perm: [0, 2, 1, 3] });
    return b.reshape(joined, [batch, n, heads, c / heads], [batch, n, c]);
  };

function causalMask(b: Builder, n: number, m: number): string {
  const mask = new Float32Array(n * m);
  const hidden = b.compute === "f16" ? -6e4 : -1e9;
  for (let i = 0; i < n; i++) mask.fill(hidden, i * m + i + 1, (i + 1) * m);
  return b.floats([n, m], mask);
}

/** Chunks that n rows of scores are cut into so that, at the largest size, one fits a binding. */
function chunkCount(n: Dim, rowElements: Dim, { bindingBytes, largest }: WebGpuLimits): number {
  const atLargest = (d: Dim): number => {
    const sizes = symbolsOf(d).map((s): [string, number] => [s, largest[s] ?? largest.h ?? 1]);
    return evaluateDim(d, Object.fromEntries(sizes));
  };
  const [rows, rowBytes] = [atLargest(n), FLOAT_BYTES * atLargest(rowElements)];
  const fitting = Math.floor(bindingBytes / rowBytes);
  return rows <= fitting ? 1 : Math.ceil(rows / Math.max(1, fitting - 1));
}

/** Rows of the longest chunk: its share rounded up, and one more. */
const chunkRows = (n: Dim, count: number): Dim =>
  addDims(floorDivDim(addDims(n, count - 1), count), 1);

/**
 * Applies `f` to `count` chunks of axis 2 of x [B,heads,N,C]. N may be smaller than `count`, and
 * kernels refuse empty tensors, so every chunk gets one more row than its share, out of padding.
 */
function inChunks(
  b: Builder,
  x: string,
  n: Dim,
  count: number,
  f: (rows: string) => string,
): string {
  const padded = b.node("Pad", [x, b.int64([0, 0, 0, 0, 0, 0, count, 0])]);
  const axis = b.int64([2]);
  const start = (i: number): string => b.shape([addDims(floorDivDim(mulDims(n, i), count), i)]);
  const chunks = Array.from({ length: count }, (_, i) =>
    f(b.node("Slice", [padded, start(i), start(i + 1), axis])),
  );
  const whole = b.node("Concat", chunks, { axis: 2 });
  return b.node("Slice", [whole, b.int64([0]), b.shape([n]), axis]);
}

/**
 * Rows for ONNX Runtime's WebGPU provider, in Node.js and the browser: operators that it has at
 * opset 21, so that none falls back to the CPU.
 */
export function webGpuRules(limits: WebGpuLimits = WEBGPU_BASELINE): LoweringRules {
  return {
    primitives: { ...STANDARD_PRIMITIVES, sin: sine, cos: cosine },
    composites: { ...CPU_RULES.composites, attention: attention(limits) },
  };
}
