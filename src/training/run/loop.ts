import type { Platform } from "../../platform/types.js";
import { counted } from "../../util/counted.js";
import { TintypeError } from "../../util/errors.js";
import { few } from "../../util/few.js";
import { oneLine } from "../../util/oneLine.js";
import type { RunConfig } from "../config.js";
import type { Metrics, Task } from "../task.js";
import { exportModel } from "./export.js";
import type { RunFolder } from "./folder.js";
import { type LossGuard, lossGuard } from "./guard.js";
import { withMemoryAdvice } from "./memoryAdvice.js";
import type { RunRecord } from "./record.js";
import { type Saver, saver } from "./saver.js";

/** One optimizer step of a run. */
export interface TrainStep {
  /** Steps that were taken, this one included. */
  readonly step: number;
  /** Steps in all. */
  readonly steps: number;
  readonly metrics: Metrics;
  /** What the step took, without checkpoints and sample pictures. */
  readonly seconds: number;
  readonly examplesPerSecond: number;
  /** The last checkpoint that is whole; its folder. */
  readonly saved: string | undefined;
  /** The grid of sample pictures that was made after this step. */
  readonly samples: string | undefined;
}

/** The state of a run between its steps. */
export interface Loop {
  isDone(): boolean;
  /** Takes a step, with all that is due after it. */
  next(): Promise<TrainStep>;
  /** Saves the last step, and at the run's end the model. */
  finish(): Promise<void>;
  /** Waits for what is being written. */
  rest(): Promise<void>;
  /** An error, with the step at which it came and what is left. */
  explained(error: unknown): Promise<unknown>;
}

/** What a loop drives, and where it writes. */
export interface LoopOptions {
  readonly platform: Platform;
  /** The name of the kind of training. */
  readonly kind: string;
  readonly run: RunFolder<RunConfig>;
  readonly task: Task;
  readonly record: RunRecord;
  readonly notice: (message: string) => void;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** A loop that goes on where the run's checkpoint is. */
export function beginLoop(options: LoopOptions): Loop {
  const { platform, kind, run, task, record, notice } = options;
  const { steps, samples, checkpoints } = run.config;
  const from = run.checkpoint && { step: run.checkpoint.info.step, path: run.checkpoint.path };
  const after = (): Promise<void> => record.plot("now and then");
  const { path, json: config } = run;
  const save = saver(task, { platform, run: path, kind, config, ...checkpoints, from, after });
  const take = stepTaker(options);
  let step = from?.step ?? 0;
  let saved = step; // what was begun to be saved last
  const saveNow = async (): Promise<void> => {
    if (saved === step) return;
    await save.begin(step);
    saved = step;
  };
  const due = (every: number): boolean => every > 0 && (step % every === 0 || step === steps);
  return {
    isDone: () => step >= steps,
    async next() {
      const taken = await take(step);
      step++;
      save.check();
      const grid = due(samples.every) ? await record.samples(task, step) : undefined;
      if (due(checkpoints.every)) await saveNow();
      if (step === steps) await save.settle();
      return { ...taken, step, steps, saved: save.last()?.path, samples: grid };
    },
    async finish() {
      await saveNow();
      await save.settle();
      if (step > 0) await record.plot("at once");
      tellCount(task, notice);
      if (step >= steps) await exportModel(task, path, platform.files);
      else if (step > 0) notice(`Step ${step} is saved. Go on with --resume ${path}`);
    },
    rest: () => save.settle().catch(() => {}),
    async explained(error) {
      await save.settle().catch(() => {});
      return explainedStop(error, options, step, save);
    },
  };
}

/** Takes steps, counted from 0, writes them down, and throws "diverged" for one that is no good. */
function stepTaker({ run, task, record, notice, now }: LoopOptions) {
  const guard = lossGuard(run.config.explode, record.losses);
  const tellNewlySkipped = tellSkipped(task, notice);
  return async (step: number) => {
    const started = performance.now();
    const metrics = await task.step(step);
    const seconds = (performance.now() - started) / 1000;
    const examplesPerSecond = task.examplesPerStep / seconds;
    await record.append({ step: step + 1, metrics, seconds, examplesPerSecond, time: now() });
    requireGood(guard, metrics, step + 1, task);
    tellNewlySkipped();
    return { metrics, seconds, examplesPerSecond };
  };
}

/** Tells of each example that could not be read, up to a few. */
function tellSkipped(task: Task, notice: (message: string) => void): () => void {
  const most = 10;
  const told = new Set<string>();
  return () => {
    if (task.skipped.size === told.size || told.size > most) return;
    for (const [name, why] of task.skipped) {
      if (told.has(name)) continue;
      told.add(name);
      if (told.size > most) return notice("more examples are left out; the end tells how many");
      const [what, reason] = [oneLine(name), oneLine(why)];
      notice(`left out ${reason.includes(what) ? reason : `${what}: ${reason}`}`);
    }
  };
}

/** Tells at the end how many examples were left out in all. */
function tellCount({ skipped }: Task, notice: (message: string) => void): void {
  if (skipped.size === 0) return;
  notice(`${counted(skipped.size, "example was", "examples were")} left out in all`);
}

const NAMES_SHOWN = 16;

function requireGood(guard: LossGuard, metrics: Metrics, step: number, task: Task): void {
  const problem = guard.problem(metrics);
  if (problem === undefined) return;
  const batch = oneLine(few(task.lastBatch, NAMES_SHOWN));
  // A number that is none is none next time, too.
  const explodes = Object.values(metrics).every(Number.isFinite);
  const details = explodes
    ? { advice: "If such a loss is to be expected, resume with a larger --set explode=..." }
    : {};
  throw new TintypeError("diverged", `step ${step}: ${problem}. Its batch: ${batch}`, details);
}

/** Adds what a user needs to go on. */
function explainedStop(reason: unknown, { kind, run }: LoopOptions, step: number, save: Saver) {
  const error = withMemoryAdvice(reason, run.config);
  if (!(error instanceof TintypeError) || error.code === "aborted") return error;
  const { code, message, problem, advice } = error;
  const cause = { cause: error };
  const last = save.last();
  const left =
    last === undefined ? "There is no checkpoint yet" : `The last good checkpoint is ${last.path}`;
  if (code === "diverged") {
    const instead = "Begin a new run with a lower learningRate.peak, or look at the batch.";
    const all = [
      `${kind}: ${problem}.`,
      `${left}.`,
      instead,
      ...(advice === undefined ? [] : [advice]),
    ];
    return new TintypeError(code, all.join(" "), cause);
  }
  const then =
    last === undefined
      ? `--resume ${run.path} begins again from its settings`
      : `go on with --resume ${run.path}`;
  const stopped = `The training stopped after step ${step}. ${left}; ${then}.`;
  return new TintypeError(code, `${message} ${stopped}`, cause);
}
