import { expect, test } from "vitest";
import { graphOf } from "../graph/graph.js";
import { peakActivationBytes } from "../graph/liveness.js";
import * as op from "../graph/ops.js";
import type { Value } from "../graph/value.js";
import { denseParams } from "../nn/layers.js";
import { resnetBlock } from "../nn/resnet.js";
import { total } from "./losses.js";
import { gradientPlan, type Recompute } from "./recompute.js";

/** A deep residual network's loss. */
function deep(): Value {
  const p = denseParams();
  let h = op.input("x", [1, 8, 16, 16]);
  for (let i = 0; i < 12; i++) h = resnetBlock(p.at(i), h, undefined, 8, { groups: 4, eps: 1e-5 });
  return total(h);
}

function peak(recompute: Recompute, free: number | undefined): number {
  const loss = deep();
  const plan = gradientPlan(recompute, () => free);
  const { gradients } = plan.gradients(loss, [...graphOf({ loss }).params.keys()]);
  return peakActivationBytes(graphOf({ loss, ...Object.fromEntries(gradients) }), {});
}

test("auto keeps what fits in the free memory", () => {
  const [all, least] = [peak(false, undefined), peak(true, undefined)];
  expect(least).toBeLessThan(all / 2);
  expect(peak("auto", undefined)).toBe(all);
  expect(peak("auto", 10 * all)).toBe(all);
  expect(peak("auto", least)).toBe(least);
  expect(peak("auto", 2.6 * all)).toBe(all);
  const between = peak("auto", 1.5 * all);
  expect(between).toBeGreaterThan(least);
  expect(between).toBeLessThan(all);
});

test("lets go of what was used before it works anything out twice", () => {
  const loss = deep();
  const names = [...graphOf({ loss }).params.keys()];
  const leastMemory = (recompute: Recompute, free: number): boolean =>
    gradientPlan(recompute, () => free).gradients(loss, names).leastMemory;
  const all = peak(false, undefined);
  expect(leastMemory("auto", 10 * all)).toBe(false);
  expect(leastMemory("auto", 2.6 * all)).toBe(true);
  expect(leastMemory(true, 10 * all)).toBe(true);
  expect(leastMemory(false, 1)).toBe(false);
});

test("a run that resumes keeps to what was decided, whatever memory is free then", async () => {
  const loss = deep();
  const names = [...graphOf({ loss }).params.keys()];
  const peakOf = (plan: ReturnType<typeof gradientPlan>): number => {
    const { gradients } = plan.gradients(loss, names);
    return peakActivationBytes(graphOf({ loss, ...Object.fromEntries(gradients) }), {});
  };
  const short = gradientPlan("auto", () => 1);
  const least = peakOf(short);
  const resumed = gradientPlan("auto", () => undefined);
  await resumed.restore(short.save());
  expect(peakOf(resumed)).toBe(least);

  const asked = gradientPlan(true, () => undefined);
  peakOf(asked);
  const left = gradientPlan("auto", () => undefined);
  await left.restore(asked.save());
  expect(peakOf(left)).toBe(least);

  const plenty = gradientPlan("auto", () => undefined);
  const all = peakOf(plenty);
  expect(plenty.save()).toEqual({});
  const later = gradientPlan("auto", () => 1);
  await later.restore(plenty.save());
  expect(peakOf(later)).toBe(all);
});
