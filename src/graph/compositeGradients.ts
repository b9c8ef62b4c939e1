import {
  type CompositeName,
  type CompositeSpecs,
  causalMask,
  inverseDeviation,
  mean,
  softmax,
} from "./composites.js";
import { type Dim, dimProduct } from "./dim.js";
import * as op from "./ops.js";
import type { Value } from "./value.js";

/*
 * Gradients of compositions, where a formula needs less memory or time than the gradients of the
 * primitives inside. None of them keeps anything but the composition's inputs and its result.
 */

/** One gradient for each input, given `dy`; `y` is the composition's result. */
export type CompositeGradient<C extends CompositeName> = (
  inputs: readonly Value[],
  dy: Value,
  y: Value,
  spec: CompositeSpecs[C],
) => readonly (Value | undefined)[];

/** y * (dy - sum(dy * y)) over the last axis. */
function softmaxGrad(y: Value, dy: Value, inner: Value = op.sum(op.mul(dy, y), [-1])): Value {
  return op.mul(y, op.sub(dy, inner));
}

/** x * sigmoid(k x): its slope is s * (1 + k (x - y)), with nothing that can overflow. */
const sigmoidUnit =
  (k: number): CompositeGradient<"silu" | "quickGelu"> =>
  ([x], dy, y) => {
    const times = (v: Value): Value => (k === 1 ? v : op.mul(k, v));
    const slope = op.mul(op.sigmoid(times(x!)), op.add(times(op.sub(x!, y)), 1));
    return [op.mul(dy, slope)];
  };

/** Phi(x) + x phi(x) is (1 + erf(u) + 2 / sqrt(pi) u exp(-u^2)) / 2 with u = x / sqrt(2). */
const gelu: CompositeGradient<"gelu"> = ([x], dy) => {
  const u = op.mul(x!, Math.SQRT1_2);
  const density = op.mul(op.mul(u, 2 / Math.sqrt(Math.PI)), op.exp(op.neg(op.mul(u, u))));
  return [op.mul(op.mul(dy, 0.5), op.add(op.add(op.erf(u), 1), density))];
};

/** Everything as matrices: [rows, O] against [rows, I]. */
const linear: CompositeGradient<"linear"> = ([x, weight, bias], dy) => {
  const rows = (v: Value): Value =>
    v.shape.length === 2 ? v : op.reshape(v, [-1, v.shape.at(-1)!]);
  const flat = rows(dy);
  const dx = op.matmul(flat, weight!);
  return [
    x!.shape.length === 2 ? dx : op.reshape(dx, x!.shape),
    op.matmul(flat, rows(x!), { transA: true }),
    bias && op.reshape(op.sum(flat, [0]), bias.shape),
  ];
};

/**
 * dx = r (g - mean(g) - n mean(g n)) with g = dy * weight, the deviation 1/r and n = r (x - mean).
 * Sums over the last axis are products with the weight as a column.
 */
const layerNorm: CompositeGradient<"layerNorm"> = ([x, weight, bias], dy, _, { eps }) => {
  const width = weight!.shape[0] as number;
  const rows = op.reshape(x!, [-1, width]);
  const flat = op.reshape(dy, [-1, width]);
  const centred = op.sub(rows, mean(rows, [-1]));
  const r = inverseDeviation(rows, eps); // [rows, 1]
  const product = op.mul(flat, centred);
  const column = op.mul(op.reshape(weight!, [width, 1]), 1 / width);
  const shift = op.neg(op.mul(r, op.matmul(flat, column)));
  const slope = op.neg(op.mul(op.mul(r, op.mul(r, r)), op.matmul(product, column)));
  const scaled = op.mul(op.mul(flat, weight!), r);
  const dx = op.add(op.add(scaled, op.mul(centred, slope)), shift);
  return [
    op.reshape(dx, x!.shape),
    op.reshape(op.matmul(r, product, { transA: true }), weight!.shape),
    op.reshape(op.sum(flat, [0]), bias!.shape),
  ];
};

/**
 * dx = dy A + x B + C, where A, B and C are numbers of one channel of one picture, worked out from
 * its sums of dy and of dy * x. Only these and dx itself read whole pictures.
 */
const groupNorm: CompositeGradient<"groupNorm"> = ([x, weight, bias], dy, _, { groups, eps }) => {
  const [batch, channels] = x!.shape as readonly [Dim, number];
  const pixels = x!.shape.slice(2);
  const members = [batch, groups, channels / groups];
  const channelSums = (v: Value): Value =>
    op.reshape(op.sum(op.reshape(v, [batch, channels, -1]), [2]), members);
  const grouped = op.reshape(x!, [batch, groups, -1]);
  const r = inverseDeviation(grouped, eps); // [B,groups,1]
  const centre = mean(grouped, [2]);
  const w = op.reshape(weight!, members.slice(1));

  const dySum = channelSums(dy);
  const normalSum = op.mul(r, op.sub(channelSums(op.mul(dy, x!)), op.mul(centre, dySum)));
  const perPixel = 1 / ((channels / groups) * (dimProduct(pixels) as number));
  const groupMean = (v: Value): Value => op.mul(op.sum(op.mul(v, w), [2]), perPixel);
  const slope = op.neg(op.mul(op.mul(r, r), groupMean(normalSum))); // [B,groups,1]
  const shift = op.neg(op.add(op.mul(r, groupMean(dySum)), op.mul(slope, centre)));

  const spread = (v: Value): Value =>
    op.reshape(op.expand(v, members), [batch, channels, ...pixels.map(() => 1)]);
  const dx = op.add(
    op.add(op.mul(dy, spread(op.mul(r, w))), op.mul(x!, spread(slope))),
    spread(shift),
  );
  const overBatch = (v: Value): Value => op.reshape(op.sum(v, [0]), weight!.shape);
  return [dx, overBatch(normalSum), bias && overBatch(dySum)];
};

/** Numbers that all matrices of scores may have together before queries are cut into chunks. */
const MOST_SCORES = 2 ** 24;
/** Numbers of one chunk then: what stays near the processor. */
const CHUNK_SCORES = 2 ** 22;

/**
 * Scores are worked out again from q and k, a chunk of `size` queries at a time, so that none are
 * kept. sum(dp * p) is sum(dy * y), which is shorter. Dao et al. 2022, algorithm 4.
 */
export function attentionGradient(
  [q, k, v]: readonly Value[],
  dy: Value,
  y: Value,
  { heads, scale, causal }: CompositeSpecs["attention"],
  size: number = chunkSize(q!, k!, heads),
): readonly Value[] {
  const [b, n, c] = q!.shape as readonly [Dim, number, number];
  const m = k!.shape[1] as number;
  const split = (x: Value): Value =>
    op.transpose(op.reshape(x, [b, x.shape[1]!, heads, c / heads]), [0, 2, 1, 3]);
  const join = (x: Value): Value => op.reshape(op.transpose(x, [0, 2, 1, 3]), [b, -1, c]);
  const [keys, values] = [split(k!), split(v!)];
  const queries = split(op.mul(q!, scale));
  const outer = split(dy);
  const mixed = op.reshape(op.mul(dy, y), [b, n, heads, c / heads]);
  const inner = op.transpose(op.sum(mixed, [3]), [0, 2, 1, 3]); // [B,heads,N,1]

  const chunk = (start: number, rows: number): readonly [Value, Value, Value] => {
    const part = (x: Value, axis = 2): Value => (rows === n ? x : op.slice(x, axis, start, rows));
    const [qs, dys] = [part(queries), part(outer)];
    const scores = op.matmul(qs, keys, { transB: true }); // [B,heads,rows,M]
    const p = softmax(causal ? op.add(scores, part(causalMask(n, m), 0)) : scores);
    const ds = softmaxGrad(p, op.matmul(dys, values, { transB: true }), part(inner));
    return [
      op.matmul(ds, keys),
      op.matmul(ds, qs, { transA: true }),
      op.matmul(p, dys, { transA: true }),
    ];
  };
  const [dq, dk, dv] = size >= n ? chunk(0, n) : inChunks(n, m, size, chunk);
  return [op.mul(join(dq), scale), join(dk), join(dv)];
}

/**
 * dq row by row, dk and dv summed up. All three of a chunk are joined to one value before they are
 * used: an engine then forgets one chunk's scores before it begins with the next's.
 */
function inChunks(
  n: number,
  m: number,
  size: number,
  chunk: (start: number, rows: number) => readonly Value[],
): readonly [Value, Value, Value] {
  const queries: Value[] = [];
  let rest: Value | undefined; // dk over dv
  for (let start = 0; start < n; start += size) {
    const rows = Math.min(size, n - start);
    const all = op.concat(chunk(start, rows), 2);
    queries.push(op.slice(all, 2, 0, rows));
    const both = op.slice(all, 2, rows, 2 * m);
    rest = rest ? op.add(rest, both) : both;
  }
  return [op.concat(queries, 2), op.slice(rest!, 2, 0, m), op.slice(rest!, 2, m, m)];
}

/** Queries of one chunk: all, or else chunks of nearly equal size. */
function chunkSize(q: Value, k: Value, heads: number): number {
  const [b, n] = q.shape as readonly number[] as readonly [number, number];
  const rowScores = b * heads * (k.shape[1] as number);
  if (n * rowScores <= MOST_SCORES) return n;
  const fitting = Math.max(1, Math.floor(CHUNK_SCORES / rowScores));
  return Math.ceil(n / Math.ceil(n / fitting));
}

/** Compositions with a rule of their own; others are differentiated through their expansion. */
export const COMPOSITE_GRADIENTS: { readonly [C in CompositeName]?: CompositeGradient<C> } = {
  softmax: (_, dy, y) => [softmaxGrad(y, dy)],
  silu: sigmoidUnit(1),
  quickGelu: sigmoidUnit(1.702),
  gelu,
  linear,
  layerNorm,
  groupNorm,
  attention: (inputs, dy, y, spec) => attentionGradient(inputs, dy, y, spec),
};
