import type { Platform } from "../../platform/types.js";
import type { Task, TaskState } from "../task.js";
import { pruneCheckpoints, writeCheckpoint } from "./checkpoint.js";

/** Writes checkpoints while the training goes on, one at a time. */
export interface Saver {
  /** The last checkpoint that is whole. */
  last(): { readonly step: number; readonly path: string } | undefined;
  /** Begins to write the task as it is now, after `step` steps. Waits for the write before it. */
  begin(step: number): Promise<void>;
  /** Returns once nothing is being written. Throws what went wrong since the last call. */
  settle(): Promise<void>;
  /** Throws what went wrong, without waiting. */
  check(): void;
}

/** Where a saver writes, and what. */
export interface SaverOptions {
  readonly platform: Platform;
  readonly run: string;
  readonly kind: string;
  /** All settings, as JSON. */
  readonly config: unknown;
  /** How many checkpoints stay. */
  readonly keep: number;
  /** The checkpoint that the run came from. */
  readonly from: { readonly step: number; readonly path: string } | undefined;
  /** What else is written after a checkpoint. */
  readonly after: () => Promise<void>;
}

/** A saver for one task. */
export function saver(task: Task, options: SaverOptions): Saver {
  const { platform, run, kind, config, keep } = options;
  let last = options.from;
  let writing: Promise<void> = Promise.resolve();
  let failed: { readonly error: unknown } | undefined;
  const check = (): void => {
    if (failed === undefined) return;
    const { error } = failed;
    failed = undefined;
    throw error;
  };
  const write = async (step: number, state: TaskState): Promise<void> => {
    const info = { kind, step, config, data: task.fingerprint };
    last = { step, path: await writeCheckpoint(platform.files, run, info, state) };
    await pruneCheckpoints(platform.files, run, keep, step);
    await options.after();
  };
  const settle = async (): Promise<void> => {
    await writing;
    check();
  };
  return {
    last: () => last,
    async begin(step) {
      await settle();
      const state = await task.save();
      writing = write(step, state).catch((error: unknown) => {
        failed = { error };
      });
      if (Object.values(state).some((part) => typeof part === "function")) await settle();
    },
    settle,
    check,
  };
}
