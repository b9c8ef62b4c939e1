import {
  type DiffusionModel,
  type Generated,
  loadModel,
  nodePlatform,
  PART_TITLES,
  type Part,
  rememberingPrompts,
  savePicture,
} from "../../src/node.js";
import type { Platform } from "../../src/platform/types.js";
import { throwIfAborted } from "../../src/util/errors.js";
import { calibrationTitle } from "../calibrate/title.js";
import { type Progress, progressOn } from "../progress.js";
import type { Terminal } from "../terminal.js";
import { gainOfInt8 } from "./gain.js";
import { beginBatch, filesOf, type Inputs, type Job, planJob, readInputs } from "./job.js";
import type { GenerateOptions } from "./options.js";
import { requireWritable } from "./output.js";
import { jsonReport, parametersText, type RanOn, summary } from "./record.js";
import { type Watch, watch } from "./watch.js";

/** Runs `tintype generate`. */
export async function generate(
  prompt: string,
  options: GenerateOptions,
  terminal: Terminal,
): Promise<void> {
  const platform = nodePlatform();
  const job = planJob(prompt, options);
  await requireWritable(job.files, platform);
  const inputs = await readInputs(options, platform);
  using progress = progressOn(terminal, { live: terminal.live && options.json !== true });
  const { signal } = terminal;
  signal.addEventListener("abort", () => {
    progress.notice("Stopping after what is under way. Ctrl-C again stops at once.");
  });
  const stopwatch = watch(terminal.now);
  const { model, ran } = await open(job, platform, progress, stopwatch, terminal);
  await using _ = model;
  const batches: Pick<Generated, "plan" | "settings" | "tiles">[] = [];
  for (let batch = 0; batch < options.batchCount; batch++) {
    throwIfAborted(signal);
    if (options.batchCount > 1) progress.batch(batch + 1, options.batchCount);
    const result = await runBatch(model, job, inputs, batch, progress, signal);
    if (batch === 0) warnOfCuts(job, stopwatch, progress);
    await save(job, ran, result, batch, platform, signal);
    if (options.json !== true) announce(job, result, batch, progress, terminal);
    batches.push({ plan: result.plan, settings: result.settings, tiles: result.tiles });
  }
  progress.idle();
  const { times, truncated } = stopwatch;
  const made = { job, ran, model, batches, times, truncated };
  if (options.json === true) terminal.out(`${jsonReport(made, terminal.now())}\n`);
  else terminal.err(`${summary(made, terminal.now())}\n`);
}

/** The model, timed and telling of its progress. */
async function open(
  job: Job,
  platform: Platform,
  progress: Progress,
  stopwatch: Watch,
  terminal: Terminal,
): Promise<{ readonly model: DiffusionModel; readonly ran: RanOn }> {
  const { now, signal } = terminal;
  const { config, vae, variant, prediction, device, dtype, threads, lowMemory } = job.options;
  const started = now();
  const loaded = new Set<Part>();
  let ran: RanOn = { device: "", dtype: "" };
  if (terminal.live) progress.busy("looking for a device");
  const model = await loadModel(job.model, {
    platform,
    signal,
    config,
    vae,
    variant,
    prediction,
    device,
    dtype,
    threads,
    lowMemory,
    onDownload: progress.download,
    onNotice: (message) => progress.notice(`tintype: ${message}`),
    onDevice: ({ device: { name, detail }, why }, dtype) => {
      ran = { device: name, dtype };
      if (device === "auto") progress.notice(`running on ${name}: ${detail} (${why})`);
    },
    onCalibration: (at) => progress.busy(calibrationTitle(at, terminal.live)),
    onLoad: (part) => progress.busy(`loading the ${PART_TITLES[part]}`),
    onLoaded: (part, milliseconds) => {
      stopwatch.onLoaded(part, milliseconds);
      if (lowMemory) loaded.clear();
      loaded.add(part);
      tellWork(part, progress);
    },
  });
  stopwatch.times.loadMs = now() - started;
  const gain = gainOfInt8(model, ran, job.options);
  if (gain !== undefined) progress.notice(`tintype: ${gain}`);
  const timed = stopwatch.around(rememberingPrompts(model), (part) => {
    if (loaded.has(part)) tellWork(part, progress); // otherwise it is told once it is loaded
  });
  return { model: timed, ran };
}

function tellWork(part: Part, progress: Progress): void {
  if (part === "text") progress.busy("reading the prompt");
  else if (part === "unet") progress.sampling();
  else progress.busy(part === "encoder" ? "encoding the picture" : "decoding");
}

async function runBatch(
  model: DiffusionModel,
  job: Job,
  inputs: Inputs,
  batch: number,
  progress: Progress,
  signal: AbortSignal,
): Promise<Generated> {
  const generation = beginBatch(model, job, inputs, batch, signal, {
    onTile: ({ part, done, count }) => {
      progress.tile(part === "encoder" ? "encoding the picture" : "decoding", done, count);
    },
    onNotice: (message) => progress.notice(`tintype: ${message}`),
  });
  for (;;) {
    const { done, value } = await generation.next();
    if (done) return value;
    progress.step(value.i + 1, value.count);
  }
}

function warnOfCuts({ prompt, options }: Job, { truncated }: Watch, progress: Progress): void {
  const { negativePrompt = "" } = options;
  const cut = [
    ["prompt", truncated.get(prompt)],
    ["negative prompt", truncated.get(negativePrompt)],
  ];
  for (const [what, end] of cut) {
    if (end === undefined) continue;
    progress.notice(`tintype: the ${what} is too long. This was cut off its end: "${end}"`);
  }
}

async function save(
  job: Job,
  ran: RanOn,
  result: Generated,
  batch: number,
  platform: Platform,
  signal: AbortSignal,
): Promise<void> {
  for (const [k, file] of filesOf(job, batch).entries()) {
    const parameters = parametersText(job, ran, result, k);
    await savePicture(file, result.pictures[k]!, { parameters }, { platform, signal });
  }
}

function announce(
  job: Job,
  { pictures, settings }: Generated,
  batch: number,
  progress: Progress,
  { out }: Terminal,
): void {
  progress.idle();
  for (const [k, file] of filesOf(job, batch).entries()) {
    const { width, height } = pictures[k]!;
    out(`${file}  ${width}x${height}, seed ${settings.seeds[k]}\n`);
  }
}
