import { resolveSampler, resolveSchedule } from "../../src/diffusion/index.js";
import type { Mask, Picture } from "../../src/image/picture.js";
import {
  type DiffusionModel,
  decodeMask,
  decodePicture,
  defaultModel,
  type Generated,
  type GenerationRequest,
  imageToImage,
  inpaint,
  loadModel,
  nodePlatform,
  PART_TITLES,
  type Part,
  savePicture,
  TintypeError,
  textToImage,
} from "../../src/node.js";
import type { Platform } from "../../src/platform/types.js";
import type { DeviceName } from "../../src/runtime/engine.js";
import { readJson } from "../../src/util/bytes.js";
import { check, throwIfAborted } from "../../src/util/errors.js";
import type { GenerateOptions } from "../commands/generate.js";
import { deviceFor } from "../devices.js";
import { type Progress, progressOn } from "../progress.js";
import type { Terminal } from "../terminal.js";
import { outputNames, requireWritable } from "./output.js";
import { jsonReport, parametersText, summary } from "./record.js";
import { type Watch, watch } from "./watch.js";

const MAX_PICTURES = 100_000;

/** The pictures that a run begins with. */
interface Inputs {
  readonly image?: Picture;
  readonly mask?: Mask;
}

/** All of a run that is decided before the model is loaded. */
export interface Job {
  readonly prompt: string;
  readonly options: GenerateOptions;
  /** What --model names, or the model that comes with Tintype. */
  readonly model: string;
  /** The seed of each picture, batch after batch. */
  readonly seeds: readonly bigint[];
  /** Its file. */
  readonly files: readonly string[];
}

/** Runs `tintype generate`. */
export async function generate(
  prompt: string,
  options: GenerateOptions,
  terminal: Terminal,
): Promise<void> {
  const platform = nodePlatform();
  const job = plan(prompt, options);
  await requireWritable(job.files, platform);
  const inputs = await readInputs(options, platform);
  using progress = progressOn(terminal, { live: terminal.live && options.json !== true });
  const { signal } = terminal;
  signal.addEventListener("abort", () => {
    progress.notice("Stopping after what is under way. Ctrl-C again stops at once.");
  });
  const stopwatch = watch(terminal.now);
  const device = await deviceFor(options.device);
  await using model = await open(job, device, platform, progress, stopwatch, terminal);
  const results: Generated[] = [];
  for (let batch = 0; batch < options.batchCount; batch++) {
    throwIfAborted(signal);
    const result = await runBatch(model, job, inputs, batch, progress, signal);
    if (batch === 0) warnOfCuts(job, stopwatch, progress);
    await save(job, result, batch, platform, signal);
    if (options.json !== true) announce(job, result, batch, progress, terminal);
    results.push(result);
  }
  progress[Symbol.dispose]();
  const made = {
    job,
    device,
    model,
    results,
    times: stopwatch.times,
    truncated: stopwatch.truncated,
  };
  const totalMs = terminal.now();
  if (options.json === true) terminal.out(`${jsonReport(made, totalMs)}\n`);
  else terminal.err(`${summary(made, totalMs)}\n`);
}

/** Decides seeds and names, and checks what options say about each other. */
function plan(prompt: string, options: GenerateOptions): Job {
  const { initImage, mask, strength, batchSize, batchCount } = options;
  const needs = (option: string): string => `${option} needs --init-image: the picture to change.`;
  check(mask === undefined || initImage !== undefined, "bad-argument", needs("--mask"));
  check(strength === undefined || initImage !== undefined, "bad-argument", needs("--strength"));
  namedBy("--sampler", options.sampler, resolveSampler);
  namedBy("--schedule", options.schedule, resolveSchedule);
  const first = options.seed ?? BigInt(crypto.getRandomValues(new Uint32Array(1))[0]!);
  const count = batchSize * batchCount;
  check(
    count <= MAX_PICTURES,
    "bad-argument",
    `--batch-size ${batchSize} x --batch-count ${batchCount}: expected at most ${MAX_PICTURES} ` +
      "pictures in one run.",
  );
  check(
    first + BigInt(count) <= 2n ** 64n,
    "bad-argument",
    `--seed: ${count} pictures from seed ${first} on would pass 2^64. Choose a smaller seed.`,
  );
  const seeds = Array.from({ length: count }, (_, k) => first + BigInt(k));
  const files = outputNames(options.output, prompt, seeds);
  return { prompt, options, model: options.model ?? defaultModel(), seeds, files };
}

/** Throws "bad-argument", with the option, for a name that `resolve` does not know. */
function namedBy(
  option: string,
  name: string | undefined,
  resolve: (name: string) => unknown,
): void {
  try {
    if (name !== undefined) resolve(name);
  } catch (error) {
    if (!(error instanceof TintypeError)) throw error;
    throw new TintypeError(error.code, `${option}: ${error.message}`, { cause: error });
  }
}

async function readInputs(options: GenerateOptions, platform: Platform): Promise<Inputs> {
  const bytesOf = async (path: string): Promise<Uint8Array> => {
    const file = await platform.openFile(path);
    return await file.read(0, file.size);
  };
  const { initImage, mask } = options;
  if (initImage === undefined) return {};
  const image = await decodePicture(await bytesOf(initImage), initImage);
  if (mask === undefined) return { image };
  return { image, mask: await decodeMask(await bytesOf(mask), mask) };
}

/** The model, timed and telling of its progress. */
async function open(
  job: Job,
  device: DeviceName,
  platform: Platform,
  progress: Progress,
  stopwatch: Watch,
  { now, signal }: Terminal,
): Promise<DiffusionModel> {
  const { config, vae, variant, prediction, dtype, threads, lowMemory } = job.options;
  const started = now();
  const loaded = new Set<Part>();
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
    onLoad: (part) => progress.busy(`loading the ${PART_TITLES[part]}`),
    onLoaded: (part, milliseconds) => {
      stopwatch.onLoaded(milliseconds);
      if (lowMemory) loaded.clear();
      loaded.add(part);
      tellWork(part, progress);
    },
  });
  stopwatch.times.loadMs = now() - started;
  if (await isUntrained(job.model, platform)) {
    progress.notice(
      "tintype: this model is untrained and makes coloured noise. Name another with --model.",
    );
  }
  return stopwatch.around(model, (part) => {
    if (loaded.has(part)) tellWork(part, progress); // otherwise it is told once it is loaded
  });
}

function tellWork(part: Part, progress: Progress): void {
  if (part === "text") progress.busy("reading the prompt");
  else if (part === "unet") progress.sampling("step");
  else progress.busy(part === "encoder" ? "encoding the picture" : "decoding");
}

/** Whether a model's folder says that its weights are random. */
async function isUntrained(ref: string, platform: Platform): Promise<boolean> {
  const path = `${ref}/model_index.json`;
  if ((await platform.stat(path))?.kind !== "file") return false;
  const index = (await readJson(await platform.openFile(path))) as {
    readonly _tintype?: { readonly untrained?: unknown };
  };
  return index._tintype?.untrained === true;
}

async function runBatch(
  model: DiffusionModel,
  { prompt, options, seeds }: Job,
  inputs: Inputs,
  batch: number,
  progress: Progress,
  signal: AbortSignal,
): Promise<Generated> {
  const { steps, sampler, schedule, eta, rng, width, height, batchSize, strength } = options;
  const request: GenerationRequest = {
    prompt,
    negativePrompt: options.negativePrompt,
    steps,
    guidanceScale: options.cfgScale,
    sampler,
    schedule,
    eta,
    rng,
    width,
    height,
    batchSize,
    seed: seeds[batch * batchSize],
    signal,
  };
  const { image, mask } = inputs;
  requireInputs(model, inputs);
  const generation =
    image === undefined
      ? textToImage(model, request)
      : mask === undefined
        ? imageToImage(model, { ...request, image, strength })
        : inpaint(model, { ...request, image, mask, strength });
  for (;;) {
    const { done, value } = await generation.next();
    if (done) return value;
    progress.step(value.i + 1, value.count);
  }
}

/** An inpainting checkpoint looks at a picture and a mask beside the latents. */
function requireInputs({ name, unet, vae }: DiffusionModel, { mask }: Inputs): void {
  if (unet.inChannels === vae.latentChannels || mask !== undefined) return;
  throw new TintypeError(
    "bad-argument",
    `${name} is an inpainting model: it needs a picture (--init-image) and a mask (--mask).`,
  );
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

/** The files of a batch. */
export function filesOf({ files, options }: Job, batch: number): readonly string[] {
  return files.slice(batch * options.batchSize, (batch + 1) * options.batchSize);
}

async function save(
  job: Job,
  result: Generated,
  batch: number,
  platform: Platform,
  signal: AbortSignal,
): Promise<void> {
  for (const [k, file] of filesOf(job, batch).entries()) {
    const parameters = parametersText(job, result, k);
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
