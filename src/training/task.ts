import type { Picture } from "../image/picture.js";
import type { Platform } from "../platform/types.js";
import type { WorkerHandle } from "../platform/worker.js";
import type { Engine } from "../runtime/engine.js";
import type { Tensor } from "../tensor/tensor.js";
import type { ConfigSchema, RunConfig } from "./config.js";

/** What one optimizer step reports: `loss` and whatever else is worth a curve, by name. */
export type Metrics = Readonly<Record<string, number>> & { readonly loss: number };

/** Named tensors, or how to read them where all at once would take too much memory. */
export type StatePart = ReadonlyMap<string, Tensor> | (() => Promise<ReadonlyMap<string, Tensor>>);

/** Everything besides the step number that a run must keep to go on, by the name of a file. */
export type TaskState = Readonly<Record<string, StatePart>>;

/** The tensors of one part of a state. */
export async function readPart(part: StatePart): Promise<ReadonlyMap<string, Tensor>> {
  return typeof part === "function" ? part() : part;
}

/** One picture of a sample grid. */
export interface Sample {
  readonly caption: string;
  readonly picture: Picture;
}

/**
 * One kind of training, opened: the model, its optimizer and its data. The loop around it owns
 * steps, metrics and checkpoints. All randomness of step n follows from the run's seed and n, so a
 * step number and `save()` are a whole checkpoint.
 */
export interface Task extends AsyncDisposable {
  /** Examples that one optimizer step sees, accumulation included. */
  readonly examplesPerStep: number;
  /** Data that was left out so far: what, and why. */
  readonly skipped: ReadonlyMap<string, string>;
  /** What messages call the examples of the step that was taken last. */
  readonly lastBatch: readonly string[];
  /** Digest of the files and captions that it learns from; undefined where there are none. */
  readonly fingerprint?: string | undefined;
  /** Takes optimizer step `step`, counted from 0. */
  step(step: number): Promise<Metrics>;
  /**
   * What `restore` needs: parameters, their averages, optimizer state. Maps are copies, which are
   * written while the next steps are taken; functions are called before the next step.
   */
  save(): Promise<TaskState>;
  /** Goes back to what `save` returned. */
  restore(state: TaskState): Promise<void>;
  /** Writes what was trained (its average, where there is one) below `folder`, as diffusers has it. */
  export(folder: string): Promise<void>;
  /** Pictures that show how far the training is, from fixed seeds and prompts; may be none. */
  samples(): Promise<readonly Sample[]>;
}

/** What a kind of training is given when it is opened. */
export interface TaskContext {
  readonly platform: Platform;
  /** What the task trains on; not the task's to end. */
  readonly engine: Engine;
  /** Starts a thread that prepares data. */
  readonly startWorker: () => WorkerHandle;
  /** Tells the user a sentence. */
  readonly notice: (message: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** A kind of training: what its settings are, and how it begins. */
export interface TaskKind<C extends RunConfig = RunConfig> {
  /** As the command line has it: "autoencoder". */
  readonly name: string;
  readonly schema: ConfigSchema<C>;
  /** Opens the task at step 0. The same config gives the same task, to the bit. */
  open(config: C, context: TaskContext): Promise<Task>;
}
