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

/**
 * Trains one kind of model ("autoencoder", "clip", "diffusion", or one of your own) on this machine's
 * CPU and yields after each step; see `train`. `config` is JSON, or a function that makes it of the settings that
 * a resumed run has.
 */
export function trainModel(
  kind: string | AnyKind,
  config: unknown,
  options: TrainModelOptions,
): AsyncGenerator<TrainStep, void, void> {
  return train(kindOf(kind), config, onThisMachine(options));
}

/** Writes the model that a run has trained so far into its folder `model`; returns that path. */
export function exportTrained(
  kind: string | AnyKind,
  options: Omit<TrainModelOptions, "resume" | "configName">,
): Promise<string> {
  return exportRun(kindOf(kind), onThisMachine(options));
}

// biome-ignore lint/suspicious/noExplicitAny: each kind has settings of its own
type AnyKind = TaskKind<any>;

function kindOf(name: string | AnyKind): AnyKind {
  if (typeof name !== "string") return name;
  const kind = Object.hasOwn(KINDS, name) ? KINDS[name] : undefined;
  check(kind !== undefined, "bad-argument", unknownName("training", name, Object.keys(KINDS)));
  return kind;
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
