import type { Engine } from "../runtime/engine.js";
import { TintypeError, throwIfAborted } from "../util/errors.js";
import { type ResolvedConfig, type RunConfig, resolveConfig } from "./config.js";
import type { MakeCanvas } from "./run/canvas.js";
import { checkpointState } from "./run/checkpoint.js";
import { createRun, type RunFolder, reopenRun } from "./run/folder.js";
import { type LossGuard, lossGuard } from "./run/guard.js";
import { MODEL } from "./run/layout.js";
import { openRecord, type RunRecord } from "./run/record.js";
import { type Saver, saver } from "./run/saver.js";
import type { Metrics, Task, TaskContext, TaskKind } from "./task.js";

/** Where a training lives, and what it needs. */
export interface TrainOptions {
  /** Folder of the run: a new one, or with `resume` one to go on with. */
  readonly run: string;
  readonly resume?: boolean | undefined;
  /** What messages call the config; by default the run's own file. */
  readonly configName?: string | undefined;
  readonly context: Omit<TaskContext, "engine">;
  /** Makes what the task trains on; ended after the task. */
  readonly startEngine: (config: RunConfig) => Engine;
  /** Draws plots and sample grids. */
  readonly canvas: MakeCanvas;
  /** Milliseconds since 1970; `Date.now` by default. */
  readonly now?: (() => number) | undefined;
}

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

/** Makes the settings of a run of those that it had so far, which are undefined for a new one. */
export type ConfigSource = (before: unknown) => unknown;

/**
 * Trains: makes or reopens the run's folder, takes step after step, writes metrics, plots, samples
 * and checkpoints as its config says, and at the end the model. Yields after each step. `config` is
 * JSON that the kind's schema accepts, or makes it of the settings that a resumed run has. Once
 * `context.signal` is aborted, the step under way is finished and saved, then "aborted" is thrown.
 * Throws "diverged" with the step, its batch and the last good checkpoint when a metric is no
 * finite number or the loss explodes; "bad-argument" for a config or a folder that does not fit.
 */
export async function* train<C extends RunConfig>(
  kind: TaskKind<C>,
  config: unknown,
  options: TrainOptions,
): AsyncGenerator<TrainStep, void, void> {
  const { context } = options;
  const { signal } = context;
  await using run = await openRun(kind, config, options);
  await using engine = options.startEngine(run.config);
  await using task = await openOrDiscard(kind, run, { ...context, engine });
  await using record = await openRecord({
    platform: context.platform,
    run: run.path,
    step: stepOf(run),
    canvas: options.canvas,
    now: options.now ?? Date.now,
  });
  const loop = beginLoop(kind, run, task, record, options);
  try {
    while (!loop.isDone() && !signal?.aborted) yield await loop.next();
    await loop.finish();
  } catch (error) {
    throw await loop.explained(error);
  } finally {
    await loop.rest();
  }
  if (!loop.isDone()) throwIfAborted(signal);
}

/** Writes the model that a run has trained so far, as its last checkpoint has it; returns its folder. */
export async function exportRun<C extends RunConfig>(
  kind: TaskKind<C>,
  { run: path, context, startEngine }: Pick<TrainOptions, "run" | "context" | "startEngine">,
): Promise<string> {
  const { platform, notice } = context;
  const unchanged = (json: unknown): ResolvedConfig<C> => resolveConfig(kind.schema, json, path);
  await using run = await reopenRun(kind, unchanged, { platform, path, notice });
  await using engine = startEngine(run.config);
  await using task = await openTask(kind, run, { ...context, engine });
  return await exportModel(task, run.path, context);
}

const stepOf = ({ checkpoint }: RunFolder<unknown>): number => checkpoint?.info.step ?? 0;

async function openRun<C extends RunConfig>(
  kind: TaskKind<C>,
  config: unknown,
  { run: path, resume = false, configName, context }: TrainOptions,
): Promise<RunFolder<C>> {
  const { platform, notice } = context;
  const resolve = (before: unknown): ResolvedConfig<C> => {
    const wanted = typeof config === "function" ? (config as ConfigSource)(before) : config;
    return resolveConfig(kind.schema, wanted, configName ?? `config of ${kind.name}`);
  };
  const where = { platform, path, notice };
  return resume ? reopenRun(kind, resolve, where) : createRun(kind, resolve(undefined), where);
}

async function openTask<C extends RunConfig>(
  kind: TaskKind<C>,
  { config, checkpoint }: RunFolder<C>,
  context: TaskContext,
): Promise<Task> {
  const task = await kind.open(config, context);
  try {
    if (checkpoint !== undefined) {
      await task.restore(checkpointState(context.platform, checkpoint));
    }
    return task;
  } catch (error) {
    await task[Symbol.asyncDispose]();
    throw error;
  }
}

/** Opens the task of a run; a new run that cannot begin goes away. */
async function openOrDiscard<C extends RunConfig>(
  kind: TaskKind<C>,
  run: RunFolder<C>,
  context: TaskContext,
): Promise<Task> {
  try {
    return await openTask(kind, run, context);
  } catch (error) {
    await run.discard();
    throw error;
  }
}

/** Exports beside the old model, which then makes way. */
async function exportModel(
  task: Task,
  run: string,
  { platform: { files } }: Pick<TaskContext, "platform">,
): Promise<string> {
  const [path, fresh, old] = [MODEL, `.${MODEL}.new`, `.${MODEL}.old`].map((n) => `${run}/${n}`);
  await files.removeFolder(fresh!);
  try {
    await files.makeFolder(fresh!);
    await task.export(fresh!);
    await files.removeFolder(old!);
    if ((await files.stat(path!)) !== undefined) await files.rename(path!, old!);
    await files.rename(fresh!, path!);
    await files.removeFolder(old!);
  } catch (error) {
    await files.removeFolder(fresh!).catch(() => {});
    throw error;
  }
  return path!;
}

/** The state of a run between its steps. */
interface Loop {
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

function beginLoop<C extends RunConfig>(
  kind: TaskKind<C>,
  run: RunFolder<C>,
  task: Task,
  record: RunRecord,
  { context, now = Date.now }: TrainOptions,
): Loop {
  const { config, path, checkpoint } = run;
  const { steps, checkpoints, samples } = config;
  const begun = stepOf(run);
  let step = begun;
  let begunToSave = checkpoint?.info.step;
  const save: Saver = saver(task, {
    platform: context.platform,
    run: path,
    kind: kind.name,
    keep: checkpoints.keep,
    config: run.json,
    from: checkpoint && { step: checkpoint.info.step, path: checkpoint.path },
    after: () => record.plot("now and then"),
  });
  const guard = lossGuard(config.explode, record.losses);
  const skips = tellSkipped(task, context.notice);
  const saveNow = async (): Promise<void> => {
    if (begunToSave === step) return;
    await save.begin(step);
    begunToSave = step;
  };
  return {
    isDone: () => step >= steps,
    async next() {
      const started = performance.now();
      const metrics = await task.step(step);
      const seconds = (performance.now() - started) / 1000;
      step++;
      const examplesPerSecond = task.examplesPerStep / seconds;
      await record.append({ step, metrics, seconds, examplesPerSecond, time: now() });
      requireGood(guard, metrics, step, task);
      skips();
      save.check();
      const isLast = step === steps;
      const due = (every: number): boolean => every > 0 && (step % every === 0 || isLast);
      const grid = due(samples.every) ? await record.samples(task, step) : undefined;
      if (due(checkpoints.every)) await saveNow();
      if (isLast) await save.settle();
      const saved = save.last()?.path;
      return { step, steps, metrics, seconds, examplesPerSecond, saved, samples: grid };
    },
    async finish() {
      if (step > begun) await saveNow();
      await save.settle();
      if (step > 0) await record.plot("at once");
      if (step >= steps) await exportModel(task, path, context);
      else if (step > 0) context.notice(`Step ${step} is saved. Go on with --resume ${path}`);
    },
    rest: () => save.settle().catch(() => {}),
    async explained(error) {
      await save.settle().catch(() => {});
      return explainedStop(error, kind.name, step, save);
    },
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
      if (told.size > most) return notice("more examples are left out; they are counted");
      notice(`left out ${name}: ${why}`);
    }
  };
}

const NAMES_SHOWN = 16;

function requireGood(guard: LossGuard, metrics: Metrics, step: number, task: Task): void {
  const problem = guard.problem(metrics);
  if (problem === undefined) return;
  const names = task.lastBatch.slice(0, NAMES_SHOWN).join(", ");
  const more = task.lastBatch.length - NAMES_SHOWN;
  const batch = more > 0 ? `${names} and ${more} more` : names;
  throw new TintypeError("diverged", `step ${step}: ${problem}. Its batch: ${batch}`);
}

/** Adds what a user needs to go on. */
function explainedStop(error: unknown, kind: string, step: number, save: Saver): unknown {
  if (!(error instanceof TintypeError)) return error;
  const last = save.last();
  const left =
    last === undefined ? "There is no checkpoint yet" : `The last good checkpoint is ${last.path}`;
  if (error.code === "diverged") {
    const advice =
      "Begin a new run with a lower learningRate.peak, or look at the batch; " +
      "if such a loss is to be expected, resume with a larger --set explode=...";
    return new TintypeError("diverged", `${kind}: ${error.message}. ${left}. ${advice}`, {
      cause: error,
    });
  }
  if (error.code === "io") {
    const message = `${error.message} The training stopped after step ${step}. ${left}; resume from it.`;
    return new TintypeError("io", message, { cause: error });
  }
  return error;
}
