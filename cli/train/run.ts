import { exportTrained, nodePlatform, type TrainStep, trainModel } from "../../src/node.js";
import type { Platform } from "../../src/platform/types.js";
import { withSettings } from "../../src/training/run/settings.js";
import { readJson } from "../../src/util/bytes.js";
import { counted } from "../../src/util/counted.js";
import { check } from "../../src/util/errors.js";
import { formatDuration } from "../format.js";
import { type Progress, progressOn } from "../progress.js";
import type { Terminal } from "../terminal.js";
import type { TrainingName, TrainOptions } from "./options.js";
import { pace } from "./pace.js";

/** Runs `tintype train`. */
export async function runTraining(
  kind: TrainingName,
  options: TrainOptions,
  terminal: Terminal,
): Promise<void> {
  checkOptions(options);
  const platform = nodePlatform();
  const run = options.resume ?? options.out ?? (await freeRun(kind, platform));
  using progress = progressOn(terminal);
  const { signal, out } = terminal;
  const onNotice = (message: string): void => progress.notice(`tintype: ${message}`);
  if (options.export) {
    progress.busy("writing the model");
    const model = await exportTrained(kind, { run, platform, onNotice, signal });
    progress.idle();
    out(`${model}\n`);
    return;
  }
  signal.addEventListener("abort", () => {
    progress.notice("Finishing the step and saving it. Ctrl-C again stops at once.");
  });
  const config = await configSource(kind, options, platform);
  progress.notice(`training in ${run}`);
  progress.busy(options.resume === undefined ? "preparing" : "loading the checkpoint");
  const steps = trainModel(kind, config.source, {
    run,
    resume: options.resume !== undefined,
    configName: config.name,
    platform,
    onNotice,
    signal,
  });
  await follow(steps, progress, terminal);
  out(`${run}/model\n`);
}

function checkOptions({ config, resume, out, export: only, set }: TrainOptions): void {
  check(
    config !== undefined || resume !== undefined,
    "bad-argument",
    "--config: name a file of settings, or a run to go on with: --resume RUN.",
  );
  check(
    out === undefined || resume === undefined,
    "bad-argument",
    "--out: a resumed run stays in its folder. Leave --out or --resume away.",
  );
  if (only !== true) return;
  check(resume !== undefined, "bad-argument", "--export: name the run with --resume RUN.");
  check(
    config === undefined && set === undefined,
    "bad-argument",
    "--export: the run's own settings hold. Leave --config and --set away.",
  );
}

/** The first of runs/KIND-001, runs/KIND-002... that is not there. */
async function freeRun(kind: TrainingName, platform: Platform): Promise<string> {
  for (let n = 1; ; n++) {
    const path = `runs/${kind}-${String(n).padStart(3, "0")}`;
    if ((await platform.stat(path)) === undefined) return path;
  }
}

/** Settings of the file, else of the resumed run, with those of --set. */
async function configSource(
  kind: TrainingName,
  { config: file, set = [], resume }: TrainOptions,
  platform: Platform,
): Promise<{ readonly source: (before: unknown) => unknown; readonly name: string }> {
  const json = file === undefined ? undefined : await readConfig(kind, file, platform);
  const source = (before: unknown): unknown => withSettings(json ?? before, set, "--set");
  const name = file ?? `${resume}/config.json`;
  return { source, name: set.length === 0 ? name : `${name} with --set` };
}

/** A config file without its kind, which a run's own config.json has. */
async function readConfig(kind: TrainingName, file: string, platform: Platform): Promise<unknown> {
  const json = await readJson(await platform.openFile(file));
  if (typeof json !== "object" || json === null || !("kind" in json)) return json;
  const { kind: of, ...config } = json;
  check(
    of === kind,
    "bad-argument",
    `${file}: its settings are for "tintype train ${of}", not for ${kind}.`,
  );
  return config;
}

/** Shows step after step, and what it all came to. */
async function follow(
  steps: AsyncIterable<TrainStep>,
  progress: Progress,
  { now, err }: Terminal,
): Promise<void> {
  const started = now();
  const smoothed = pace();
  let count = 0;
  let loss = Number.NaN;
  for await (const step of steps) {
    const shown = smoothed(step);
    progress.training(shown);
    count++;
    loss = shown.loss;
    if (step.step === step.steps) progress.busy("writing the model");
  }
  progress.idle();
  const took = formatDuration(now() - started);
  err(
    count === 0
      ? "tintype: all steps were taken already. For more: --set steps=N\n"
      : `${counted(count, "step")} in ${took}, loss ${loss.toPrecision(4)}\n`,
  );
}
