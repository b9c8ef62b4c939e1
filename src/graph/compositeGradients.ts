import {
  type CompositeName,
  type CompositeSpecs,
  causalMask,
  inverseDeviation,
  mean,
  named,
  softmax,
} from "./composites.js";
import { type Dim, dimProduct } from "./dim.js";
import * as op from "./ops.js";
import type { Value } from "./value.js";

/*
 * Gradients of compositions, where a formula needs less memory or time than the gradients of the
 * primitives inside. None of them keeps anything but the composition's inputs and its result. They are
 * compositions again, of the inputs named here, so that engines may work them out another way.
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
    return [named("sigmoidUnitGrad", { factor: k }, [x!, y, dy], op.mul(dy, slope))];
  };

/** Phi(x) + x phi(x) is (1 + erf(u) + 2 / sqrt(pi) u exp(-u^2)) / 2 with u = x / sqrt(2). */
const gelu: CompositeGradient<"gelu"> = ([x], dy) => {
  const u = op.mul(x!, Math.SQRT1_2);
  const density = op.mul(op.mul(u, 2 / Math.sqrt(Math.PI)), op.exp(op.neg(op.mul(u, u))));
  const dx = op.mul(op.mul(dy, 0.5), op.add(op.add(op.erf(u), 1), density));
  return [named("geluGrad", {}, [x!, dy], dx)];
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
const layerNorm: CompositeGradient<"layerNorm"> = ([x, weight, bias], dy, _, spec) => {
  const width = weight!.shape[0] as number;
  const rows = op.reshape(x!, [-1, width]);
  const flat = op.reshape(dy, [-1, width]);
  const centred = op.sub(rows, mean(rows, [-1]));
  const r = inverseDeviation(rows, spec.eps); // [rows, 1]
  const product = op.mul(flat, centred);
  const column = op.mul(op.reshape(weight!, [width, 1]), 1 / width);
  const shift = op.neg(op.mul(r, op.matmul(flat, column)));
  const slope = op.neg(op.mul(op.mul(r, op.mul(r, r)), op.matmul(product, column)));
  const scaled = op.mul(op.mul(flat, weight!), r);
  const dx = op.add(op.add(scaled, op.mul(centred, slope)), shift);
  const dw = op.matmul(r, product, { transA: true });
  return [
    named("layerNormGrad", spec, [x!, weight!, dy], op.reshape(dx, x!.shape)),
    named("layerNormWeightGrad", spec, [x!, dy], op.reshape(dw, weight!.shape)),
    op.reshape(op.sum(flat, [0]), bias!.shape),
  ];
};

/**
 * dx = dy A + x B + C, where A, B and C are numbers of one channel of one picture, worked out from
 * its sums of dy and of dy * x. Only these and dx itself read whole pictures.
 */
const groupNorm: CompositeGradient<"groupNorm"> = ([x, weight], dy, _, spec) => {
  const { groups, eps } = spec;
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
  return [
    named("groupNormGrad", spec, [x!, weight!, dy], dx),
    named("groupNormWeightGrad", spec, [x!, dy], overBatch(normalSum)),
    op.reshape(op.sum(dy, [0, ...pixels.map((_, i) => i + 2)]), weight!.shape),
  ];
};

/** Numbers that all matrices of scores may have together before they are cut into chunks. */
const MOST_SCORES = 2 ** 24;
/** Numbers of one chunk then: what stays near the processor. */
const CHUNK_SCORES = 2 ** 22;

/**
 * Scores are worked out again from q and k, a chunk of heads or of one head's queries at a time, so
 * that none are kept. sum(dp * p) is sum(dy * y), which is shorter. Dao et al. 2022, algorithm 4.
 */
export function attentionGradient(
  [q, k, v]: readonly Value[],
  dy: Value,
  y: Value,
  spec: CompositeSpecs["attention"],
  chunkScores: number = CHUNK_SCORES,
  mostScores: number = MOST_SCORES,
): readonly Value[] {
  const { heads, scale, causal } = spec;
  const [b, n] = q!.shape as readonly number[] as readonly [number, number];
  const m = k!.shape[1] as number;
  const split = (x: Value): Value => splitHeads(x, heads);
  const join = (x: Value): Value => joinHeads(x, heads);
  const queries = split(op.mul(q!, scale));
  const [keys, values, dys] = [split(k!), split(v!), split(dy)];
  const inner = op.sum(split(op.mul(dy, y)), [2]); // [B*heads,N,1]

  const chunk: Chunk = (head, count, row, rows) => {
    const ofHeads = (x: Value): Value => part(x, 0, head, count);
    const ofRows = (x: Value): Value => part(ofHeads(x), 1, row, rows);
    const [qs, ks, grads] = [ofRows(queries), ofHeads(keys), ofRows(dys)];
    const scores = op.matmul(qs, ks, { transB: true }); // [count,rows,M]
    const p = softmax(causal ? op.add(scores, part(causalMask(n, m), 0, row, rows)) : scores);
    const dp = op.matmul(grads, ofHeads(values), { transB: true });
    const ds = softmaxGrad(p, dp, ofRows(inner));
    return [
      op.matmul(ds, ks),
      op.matmul(ds, qs, { transA: true }),
      op.matmul(p, grads, { transA: true }),
    ];
  };
  const whole = b * heads * n * m <= mostScores;
  const [dq, dk, dv] = whole
    ? chunk(0, b * heads, 0, n)
    : inChunks(b * heads, n, m, chunkScores, chunk);
  const gradients = { q: op.mul(join(dq), scale), k: join(dk), v: join(dv) };
  return (["q", "k", "v"] as const).map((of) =>
    whole
      ? named("attentionGrad", { ...spec, of }, [q!, k!, v!, y, dy], gradients[of])
      : gradients[of],
  );
}

/** [B,N,C] -> [B*heads,N,C/heads] */
function splitHeads(x: Value, heads: number): Value {
  const [b, n, c] = x.shape as readonly number[] as readonly [number, number, number];
  const byHead = op.transpose(op.reshape(x, [b, n, heads, c / heads]), [0, 2, 1, 3]);
  return op.reshape(byHead, [b * heads, n, c / heads]);
}

/** [B*heads,N,D] -> [B,N,heads*D] */
function joinHeads(x: Value, heads: number): Value {
  const [all, n, d] = x.shape as readonly number[] as readonly [number, number, number];
  const byToken = op.transpose(op.reshape(x, [all / heads, heads, n, d]), [0, 2, 1, 3]);
  return op.reshape(byToken, [all / heads, n, heads * d]);
}

type Three = readonly [Value, Value, Value];
/** dq, and what dk and dv get from it, of some heads and some of their queries. */
type Chunk = (head: number, count: number, row: number, rows: number) => Three;

/** x itself where `size` is all of an axis. */
function part(x: Value, axis: number, start: number, size: number): Value {
  return size === x.shape[axis] ? x : op.slice(x, axis, start, size);
}

/**
 * Gradients of all heads, some heads at a time, or some queries of one. The three gradients of a chunk
 * are joined to one value before they are used: engines work depth first, and so finish with one
 * chunk's scores before they begin with the next's.
 */
function inChunks(heads: number, n: number, m: number, scores: number, chunk: Chunk): Three {
  const count = Math.min(heads, Math.max(1, Math.floor(scores / (n * m))));
  const size = Math.min(n, Math.max(1, Math.floor(scores / m)));
  const groups = starts(heads, count).map((head) => {
    const parts = starts(n, size).map((row) => {
      const rows = Math.min(size, n - row);
      return op.concat(chunk(head, Math.min(count, heads - head), row, rows), 1);
    });
    if (parts.length === 1) return parts[0]!;
    const rest = parts.map((three) =>
      op.slice(three, 1, (three.shape[1] as number) - 2 * m, 2 * m),
    );
    const dq = parts.map((three) => op.slice(three, 1, 0, (three.shape[1] as number) - 2 * m));
    return op.concat([...dq, rest.reduce((a, b) => op.add(a, b))], 1); // [count,N+2M,d]
  });
  const all = groups.length === 1 ? groups[0]! : op.concat(groups, 0);
  return [op.slice(all, 1, 0, n), op.slice(all, 1, n, m), op.slice(all, 1, n + m, m)];
}

/** 0, size, 2 size... below `end`. */
function starts(end: number, size: number): readonly number[] {
  return Array.from({ length: Math.ceil(end / size) }, (_, i) => i * size);
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
