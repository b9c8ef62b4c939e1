import * as v from "valibot";
import { productsAndSums, residualSums } from "../graph/checkpoints.js";
import { graphOf } from "../graph/graph.js";
import { peakActivationBytes } from "../graph/liveness.js";
import type { Value } from "../graph/value.js";
import type { ProgramOptions } from "../runtime/training.js";
import { full } from "../tensor/tensor.js";
import type { ConfigSchema } from "./config.js";
import { gradientsOf } from "./learner.js";
import { readPart, type TaskState } from "./task.js";

/** `recompute` of every kind of training. */
export const recomputeSchema: ConfigSchema<Recompute> = v.optional(
  v.union([v.boolean(), v.literal("auto")]),
  "auto",
);

/**
 * Whether activations are worked out again in the backward pass: least memory, up to a third more
 * work. "auto": as many as the free memory demands, decided when the run begins.
 */
export type Recompute = boolean | "auto";

/** One way of a backward pass. */
interface Level {
  /** What it takes from the forward pass; undefined: everything. */
  readonly keep: (loss: Value) => ReadonlySet<Value> | undefined;
  readonly leastMemory: boolean;
  /** What a process grew by, over the prediction: the most that was measured. */
  readonly slack: number;
}

const everything = (): undefined => undefined;

/** From the fastest to the one that takes least memory (bench/trainingMemory.ts). */
const LEVELS: readonly Level[] = [
  { keep: everything, leastMemory: false, slack: 3 },
  { keep: everything, leastMemory: true, slack: 2.5 },
  { keep: productsAndSums, leastMemory: true, slack: 2.5 },
  { keep: residualSums, leastMemory: true, slack: 2.5 },
];

/** Writes gradients, keeping as much of the forward pass as was decided. */
export interface GradientPlan {
  gradients(
    loss: Value,
    names: readonly string[],
  ): Required<Pick<ProgramOptions, "gradients" | "leastMemory">>;
  /** The decision as part of a checkpoint, so that a run that resumes works out the same numbers. */
  save(): TaskState;
  restore(state: TaskState): Promise<void>;
}

const FILE = "recompute";

/**
 * Decides for "auto" at the first loss: the fastest that fits in the free memory, by prediction from
 * the graph and what engines were measured to take beside it. `freeBytes` is undefined where nobody knows.
 */
export function gradientPlan(
  recompute: Recompute,
  freeBytes: () => number | undefined,
): GradientPlan {
  let level = recompute === "auto" ? undefined : recompute ? LEVELS.length - 1 : 0;
  const at = (loss: Value, names: readonly string[], which: number) => {
    const { keep, leastMemory } = LEVELS[which]!;
    return { gradients: gradientsOf(loss, names, keep(loss)), leastMemory };
  };
  return {
    gradients(loss, names) {
      if (level !== undefined) return at(loss, names, level);
      const room = freeBytes() ?? Number.POSITIVE_INFINITY;
      for (level = 0; level < LEVELS.length - 1; level++) {
        const backward = at(loss, names, level);
        const graph = graphOf({ loss, ...Object.fromEntries(backward.gradients) });
        if (LEVELS[level]!.slack * peakActivationBytes(graph, {}) <= room) return backward;
      }
      return at(loss, names, level);
    },
    save: () =>
      level !== undefined && level > 0 ? { [FILE]: new Map([["level", full([], level)]]) } : {},
    async restore(state) {
      if (recompute !== "auto") return;
      const saved = state[FILE];
      level = saved === undefined ? 0 : (await readPart(saved)).get("level")!.data[0]!;
    },
  };
}
