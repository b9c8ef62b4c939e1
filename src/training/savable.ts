import type { ParameterStore } from "../runtime/training.js";
import { invariant } from "../util/errors.js";
import type { GradientPlan } from "./recompute.js";
import { readPart, type StatePart, type TaskState } from "./task.js";

/** Checkpoints of a trainer. */
export interface Savable {
  save(): Promise<TaskState>;
  restore(state: TaskState): Promise<void>;
}

/**
 * Checkpoints of stores, by what their files are called, and of what was decided about gradients,
 * where there was something to decide.
 */
export function savable(
  stores: Readonly<Record<string, ParameterStore>>,
  plan?: GradientPlan,
): Savable {
  return {
    async save() {
      const state: Record<string, StatePart> = { ...plan?.save() };
      for (const [file, store] of Object.entries(stores)) {
        Object.assign(state, await saveStore(file, store));
      }
      return state;
    },
    async restore(state) {
      await plan?.restore(state);
      for (const [file, store] of Object.entries(stores)) await restoreStore(file, store, state);
    },
  };
}

/** Bytes of a store that may be in memory a second time. */
const COPY_BYTES = 2 ** 30;

/**
 * Everything in a store, as files of a checkpoint: "model.params", "model.exp_avg"... Copies, or where
 * these would be large, a way to read one part after the other.
 */
async function saveStore(file: string, store: ParameterStore): Promise<TaskState> {
  const { parts } = store;
  const state: Record<string, StatePart> = {};
  for (const part of parts) {
    const values = await store.read(part);
    state[`${file}.${part}`] = values;
    const bytes = [...values.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
    if (bytes * parts.length <= COPY_BYTES) continue;
    return Object.fromEntries(parts.map((name) => [`${file}.${name}`, () => store.read(name)]));
  }
  return state;
}

/** Puts back what `saveStore` returned. */
async function restoreStore(file: string, store: ParameterStore, state: TaskState): Promise<void> {
  for (const part of store.parts) {
    const values = state[`${file}.${part}`];
    invariant(values !== undefined, `the checkpoint has no ${file}.${part}`);
    await store.write(part, await readPart(values));
  }
}
