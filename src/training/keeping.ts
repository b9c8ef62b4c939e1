import type { ParameterStore } from "../runtime/training.js";
import { restoreStore, saveStore } from "./learner.js";
import type { GradientPlan } from "./recompute.js";
import type { StatePart, TaskState } from "./task.js";

/** Checkpoints of a trainer. */
export interface Keeping {
  save(): Promise<TaskState>;
  restore(state: TaskState): Promise<void>;
}

/** Checkpoints of stores, by what their files are called, and of what was decided about gradients. */
export function keeping(
  stores: Readonly<Record<string, ParameterStore>>,
  plan: GradientPlan,
): Keeping {
  return {
    async save() {
      const state: Record<string, StatePart> = { ...plan.save() };
      for (const [file, store] of Object.entries(stores)) {
        Object.assign(state, await saveStore(file, store));
      }
      return state;
    },
    async restore(state) {
      await plan.restore(state);
      for (const [file, store] of Object.entries(stores)) await restoreStore(file, store, state);
    },
  };
}
