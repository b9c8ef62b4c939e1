import { mean } from "../graph/composites.js";
import * as op from "../graph/ops.js";
import type { Value } from "../graph/value.js";
import { invariant } from "../util/errors.js";
import { type Params, type WeightRule, withRule } from "./params.js";

/*
 * Group norms whose statistics are not those of what they are given: a piece of a picture is
 * normalised by the whole picture's, so that pieces fit together.
 */

/** Means and variances of one group norm's groups. */
interface Moments {
  /** [1,groups,1] */
  readonly mean: Value;
  readonly variance: Value;
}

/**
 * The same parameters, where group norms are fed their statistics: for each an input by its own path,
 * [2,groups], means and variances.
 */
export function withFedStatistics(p: Params): Params {
  const groupNorm: WeightRule["groupNorm"] = (norm, x, groups, eps) => {
    const fed = op.input(norm.path, [2, groups]);
    const row = (i: number): Value => op.reshape(op.slice(fed, 0, i, 1), [1, groups, 1]);
    return normalised(norm, x, { mean: row(0), variance: row(1) }, eps);
  };
  return withRule(p, { ...p.rule, groupNorm });
}

/** Parameters that measure as a model is traced, and what they have measured by the norms' paths. */
export interface Measuring {
  readonly p: Params;
  readonly statistics: ReadonlyMap<string, Value>;
}

/** Patches [b,C,side,side], whose outermost `margin` places count for nothing: they see the end. */
export interface Patches {
  readonly side: number;
  readonly margin: number;
}

/**
 * The same parameters, where group norms take a sample of patches as if they were one picture: each is
 * normalised by, and notes, the statistics [2,groups] of all patches together. `shares` [b] is what
 * each patch counts for; they sum to 1.
 */
export function measuringStatistics(p: Params, patches: Patches, shares: Value): Measuring {
  const statistics = new Map<string, Value>();
  const groupNorm: WeightRule["groupNorm"] = (norm, x, groups, eps) => {
    const moments = momentsOf(centre(x, patches), shares, groups);
    const rows = [moments.mean, moments.variance].map((v) => op.reshape(v, [1, groups]));
    statistics.set(norm.path, op.concat(rows, 0));
    return normalised(norm, x, moments, eps);
  };
  return { p: withRule(p, { ...p.rule, groupNorm }), statistics };
}

/** What lies inside of the margin, which grows with the picture. */
function centre(x: Value, { side, margin }: Patches): Value {
  const now = x.shape[2] as number;
  const kept = (margin * now) / side;
  return [2, 3].reduce((v, axis) => op.slice(v, axis, kept, now - 2 * kept), x);
}

/** Of patches of a known size, each by its share. */
function momentsOf(x: Value, shares: Value, groups: number): Moments {
  const count = x.shape[0]!;
  const grouped = op.reshape(x, [count, groups, -1]);
  const share = op.reshape(shares, [count, 1, 1]);
  const over = (v: Value): Value => op.sum(op.mul(mean(v, [2]), share), [0]);
  const middle = over(grouped);
  const centred = op.sub(grouped, middle);
  return { mean: middle, variance: over(op.mul(centred, centred)) };
}

/** x [b,C,h,w] less the mean, over the deviation of each group; then scaled and shifted by channel. */
function normalised(p: Params, x: Value, { mean, variance }: Moments, eps: number): Value {
  const channels = x.shape[1] as number;
  const groups = mean.shape[1] as number;
  invariant(channels % groups === 0, `group norm: ${channels} channels in ${groups} groups`);
  const byGroup = (name: "weight" | "bias", value: number): Value =>
    op.reshape(p.get(name, [channels], { kind: "constant", value }), [1, groups, -1]);
  const scale = op.div(byGroup("weight", 1), op.sqrt(op.add(variance, eps)));
  const shift = op.sub(byGroup("bias", 0), op.mul(mean, scale));
  const perChannel = (v: Value): Value => op.reshape(v, [1, channels, 1, 1]);
  return op.add(op.mul(x, perChannel(scale)), perChannel(shift));
}
