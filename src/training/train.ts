import type { Engine } from "../runtime/engine.js";
import { check, throwIfAborted } from "../util/errors.js";
import { type ResolvedConfig, type RunConfig, resolveConfig } from "./config.js";
import type { MakeCanvas } from "./run/canvas.js";
import { checkpointState } from "./run/checkpoint.js";
import { exportModel } from "./run/export.js";
import { createRun, type RunFolder, reopenRun } from "./run/folder.js";
import { beginLoop, type TrainStep } from "./run/loop.js";
import { withMemoryAdvice } from "./run/memoryAdvice.js";
import { openRecord } from "./run/record.js";
import type { Task, TaskContext, TaskKind } from "./task.js";

export type { TrainStep } from "./run/loop.js";

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
    step: run.checkpoint?.info.step ?? 0,
    canvas: options.canvas,
    now: options.now ?? Date.now,
  });
  const loop = beginLoop({
    platform: context.platform,
    kind: kind.name,
    run,
    task,
    record,
    notice: context.notice,
    now: options.now ?? Date.now,
  });
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

/**
 * Writes the model that a run has trained so far, as its last checkpoint has it; returns its folder.
 * Throws "not-found" before the first checkpoint.
 */
export async function exportRun<C extends RunConfig>(
  kind: TaskKind<C>,
  { run: path, context, startEngine }: Pick<TrainOptions, "run" | "context" | "startEngine">,
): Promise<string> {
  const { platform, notice } = context;
  const unchanged = (json: unknown): ResolvedConfig<C> => resolveConfig(kind.schema, json, path);
  await using run = await reopenRun(kind, unchanged, { platform, path, notice });
  check(
    run.checkpoint !== undefined,
    "not-found",
    `${path} has no checkpoint yet, so there is no trained model to write. Go on with --resume ${path}.`,
  );
  await using engine = startEngine(run.config);
  await using task = await openTask(kind, run, { ...context, engine });
  return await exportModel(task, run.path, platform.files);
}

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
  { path, config, checkpoint }: RunFolder<C>,
  context: TaskContext,
): Promise<Task> {
  const task = await kind.open(config, context);
  try {
    if (checkpoint !== undefined) {
      if (task.fingerprint !== (checkpoint.info.data ?? task.fingerprint)) {
        context.notice(
          `the data of ${path} has changed since step ${checkpoint.info.step}: files, captions, or when ` +
            "they were written. The run goes on with what is there now, and ends otherwise than it would have.",
        );
      }
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
    throw withMemoryAdvice(error, run.config);
  }
}
