import { canvasContext } from "../platform/node/canvas.js";
import { nodePlatform } from "../platform/node/platform.js";
import type { Platform } from "../platform/types.js";
import { nodeEngine } from "../runtime/node/engine.js";
import { check } from "../util/errors.js";
import { unknownName } from "../util/nearest.js";
import { startDataWorker } from "./data/node/start.js";
import { KINDS } from "./kinds.js";
import type { TaskKind } from "./task.js";
import { exportRun, type TrainOptions, type TrainStep, train } from "./train.js";

/** Where a training on this machine lives. */
export interface TrainModelOptions extends Pick<TrainOptions, "run" | "resume" | "configName"> {
  /** Told what a user should know. */
  readonly onNotice?: ((message: string) => void) | undefined;
  /** Once aborted, the step under way is finished and saved, then "aborted" is thrown. */
  readonly signal?: AbortSignal | undefined;
  readonly platform?: Platform | undefined;
}

/** A kind of training: "autoencoder", "clip", "diffusion", or one of your own. */
// biome-ignore lint/suspicious/noExplicitAny: each kind has settings of its own
export type TrainingKind = string | TaskKind<any>;

/**
 * Trains one kind of model on this machine's CPU and yields after each step; see `train`. `config` is
 * JSON, or a function that makes it of the settings that a resumed run has.
 */
export function trainModel(
  kind: TrainingKind,
  config: unknown,
  options: TrainModelOptions,
): AsyncGenerator<TrainStep, void, void> {
  return train(kindOf(kind), config, onThisMachine(options));
}

/** Writes the model that a run has trained so far into its folder `model`; returns that path. */
export function exportTrained(
  kind: TrainingKind,
  options: Omit<TrainModelOptions, "resume" | "configName">,
): Promise<string> {
  return exportRun(kindOf(kind), onThisMachine(options));
}

function kindOf(kind: TrainingKind): Exclude<TrainingKind, string> {
  if (typeof kind !== "string") return kind;
  const known = Object.hasOwn(KINDS, kind) ? KINDS[kind] : undefined;
  check(known !== undefined, "bad-argument", unknownName("training", kind, Object.keys(KINDS)));
  return known;
}

function onThisMachine({
  platform = nodePlatform(),
  onNotice: notice = () => {},
  signal,
  run,
  ...rest
}: TrainModelOptions): TrainOptions {
  return {
    ...rest,
    run: run.startsWith("~") ? platform.resolve(run) : run.replace(/(?<=.)\/+$/, ""),
    context: { platform, startWorker: startDataWorker, notice, signal },
    startEngine: ({ threads, spinning }) =>
      nodeEngine({ platform, device: "cpu", threads, spinning }),
    canvas: canvasContext,
  };
}
