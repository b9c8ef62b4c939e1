import { join } from "node:path";
import { loadModelFiles, type ModelFiles } from "./checkpoints/index.js";
import type { Evaluation, EvaluationProgress } from "./evaluation/evaluate.js";
import type { EvaluateModelOptions } from "./evaluation/node.js";
import { encodePng } from "./formats/index.js";
import { type DownloadProgress, type ResolvedModel, resolveModel } from "./hub/index.js";
import type { Picture } from "./image/picture.js";
import {
  type CalibrationOptions,
  type CalibrationProgress,
  calibrate,
  type DiffusionModel,
  openModel,
  openRanges,
  type Part,
  rangesPath,
  THOROUGH_CALIBRATION,
  writeRanges,
} from "./pipelines/index.js";
import { packageRoot } from "./platform/node/packageRoot.js";
import { nodePlatform } from "./platform/node/platform.js";
import type { Platform } from "./platform/types.js";
import type { DeviceChoice, DeviceReport, DeviceWish } from "./runtime/devices.js";
import type { Engine } from "./runtime/engine.js";
import { pickDevice } from "./runtime/node/devices.js";
import { nodeEngine } from "./runtime/node/engine.js";
import type { TrainingKind, TrainModelOptions } from "./training/node.js";
import type { TrainStep } from "./training/train.js";
import type { ByteSource, Folder } from "./util/bytes.js";
import { check, TintypeError } from "./util/errors.js";
import { unknownName } from "./util/nearest.js";

/*
 * Tintype in Node.js: the parts put together for this machine.
 */

export type { Evaluation, EvaluationProgress } from "./evaluation/evaluate.js";
export type { EvaluateModelOptions } from "./evaluation/node.js";
export type { EmaSpec, OptimizerSpec, ScheduleSpec } from "./optim/index.js";
export * from "./pipelines/index.js";
export { decodeMask, decodePicture } from "./platform/node/images.js";
export { nodePlatform } from "./platform/node/platform.js";
export type { DeviceChoice, DeviceReport, DeviceWish } from "./runtime/devices.js";
export { listDevices, pickDevice } from "./runtime/node/devices.js";
export { type NodeEngineOptions, nodeEngine } from "./runtime/node/engine.js";
export type {
  ParameterSpec,
  ParameterStore,
  ProgramOptions,
  StoreOptions,
  TrainingEngine,
  TrainingProgram,
} from "./runtime/training.js";
export type { TrainingKind, TrainModelOptions } from "./training/node.js";
export type { Metrics } from "./training/task.js";
export type { ConfigSource, TrainStep } from "./training/train.js";
export { type ErrorCode, TintypeError } from "./util/errors.js";
export { VERSION } from "./util/version.js";

/** How to find a model. A REF is a file, a folder, or a Hugging Face id `owner/name[@revision][:path]`. */
export interface FindOptions {
  /** A diffusers folder (REF) that says what a single file cannot; its weights are not read. */
  readonly config?: string | undefined;
  /** Another autoencoder (REF). */
  readonly vae?: string | undefined;
  /** What the network predicts; "auto" finds out. */
  readonly prediction?: "auto" | "eps" | "v" | undefined;
  /** Which weights of a folder to take, such as "fp16". */
  readonly variant?: string | undefined;
  /** Told how a download goes on; called often. */
  readonly onDownload?: ((progress: DownloadProgress) => void) | undefined;
  /** Told what a user should know. */
  readonly onNotice?: ((message: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly platform?: Platform | undefined;
}

/** How to run it. */
export interface RunOptions {
  /** Where it runs; "auto", the default, is a working real GPU, otherwise the CPU. */
  readonly device?: DeviceWish | undefined;
  /** Threads of the CPU; all physical cores by default. */
  readonly threads?: number | undefined;
  /** Keeps one part of the model in memory at a time. */
  readonly lowMemory?: boolean | undefined;
  /** Bytes that compiled programs may take on disk; 0 keeps none. */
  readonly cacheLimit?: number | undefined;
  /**
   * Numbers that are computed in. "auto" is fp32, so that a seed keeps its picture. "int8" is for the
   * CPU: half the time and a third of the memory, for pictures that differ a little.
   */
  readonly dtype?: DtypeName | undefined;
  /** Told which device was picked and why, and what numbers it will compute in. */
  readonly onDevice?:
    | ((choice: DeviceChoice, dtype: Exclude<DtypeName, "auto">) => void)
    | undefined;
  /** Told while the ranges of a model's results are found out, before its first picture in int8. */
  readonly onCalibration?: ((progress: CalibrationProgress) => void) | undefined;
  /** Told before a part of the model is loaded. */
  readonly onLoad?: ((part: Part) => void) | undefined;
  /** Told after a part was loaded, and how long that took. */
  readonly onLoaded?: ((part: Part, milliseconds: number) => void) | undefined;
  /** Where the engine writes, for each part that is freed, what its operators took: PROFILE-PART_date.json. */
  readonly profile?: string | undefined;
}

export const DTYPE_CHOICES = ["auto", "fp32", "fp16", "int8"] as const;

/** Names of numbers to compute in. */
export type DtypeName = (typeof DTYPE_CHOICES)[number];

/** Folder of the model that comes with this package. */
export function defaultModel(): string {
  return join(packageRoot(), "models", "postcards");
}

/** Finds, downloads if need be, and reads a model's files; no weight is loaded. */
export async function findModel(ref: string, options: FindOptions = {}): Promise<ModelFiles> {
  const { platform = nodePlatform(), signal, variant, prediction } = options;
  const hub = { platform, signal, variant, progress: options.onDownload, notice: options.onNotice };
  const found = await resolveModel(ref, hub);
  const yaml = found.kind === "file" ? found.yaml : undefined;
  const config =
    options.config === undefined
      ? undefined
      : await resolveModel(options.config, { ...hub, weights: false });
  const vae =
    options.vae === undefined
      ? undefined
      : await resolveModel(options.vae, { ...hub, components: ["vae"] });
  return await loadModelFiles(contentOf(found), {
    ...(config === undefined ? {} : { config: folderOf(config) }),
    ...(vae === undefined ? {} : { vae: contentOf(vae) }),
    ...(prediction === undefined ? {} : { prediction }),
    ...(variant === undefined ? {} : { variant }),
    ...(yaml === undefined ? {} : { yaml }),
  });
}

const contentOf = (model: ResolvedModel): Folder | ByteSource =>
  model.kind === "folder" ? model.folder : model.source;

function folderOf(model: ResolvedModel): Folder {
  if (model.kind === "folder") return model.folder;
  throw new TintypeError(
    "bad-argument",
    `--config: expected a diffusers folder, but ${model.name} is a file.`,
  );
}

/**
 * Opens a model by REF, ready to make pictures; the model that comes with Tintype by default.
 * Dispose it (`await using`) to free its memory. Throws a TintypeError that says what to do.
 */
export async function loadModel(
  ref: string = defaultModel(),
  options: FindOptions & RunOptions = {},
): Promise<DiffusionModel> {
  const { platform = nodePlatform(), threads, cacheLimit, dtype = "auto" } = options;
  check(DTYPE_CHOICES.includes(dtype), "bad-argument", unknownName("dtype", dtype, DTYPE_CHOICES));
  const choice = await pickDevice(options.device ?? "auto", { platform });
  const { device } = choice;
  const computed = dtypeOn(device, dtype, options.onNotice);
  // It starts its worker while files are found and their headers read.
  const engine = nodeEngine({
    platform,
    device: device.name,
    compute: computed === "fp16" ? "f16" : "f32",
    bufferBytes: device.bufferBytes,
    threads,
    ...(cacheLimit === undefined ? {} : { cacheLimit }),
  });
  try {
    const files = await findModel(ref, { ...options, platform });
    options.onDevice?.(choice, computed);
    const load = timedLoads(options);
    const int8 =
      computed === "int8" ? await openRanges(files, engine, platform, options) : undefined;
    const model = await openModel(files, {
      ...(int8 ? { int8 } : {}),
      engine: { ...engine, load: load.around(engine) },
      lowMemory: options.lowMemory ?? false,
      availableMemory: () => platform.availableMemory() ?? Number.POSITIVE_INFINITY,
      onLoad: load.begin,
    });
    return { ...model, [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose]() };
  } catch (error) {
    await engine[Symbol.asyncDispose]();
    throw error;
  }
}

/** The numbers that a device computes in when it is asked for `dtype`. */
function dtypeOn(
  { name, compute = ["f32"] }: DeviceReport,
  dtype: DtypeName,
  notice: FindOptions["onNotice"],
): Exclude<DtypeName, "auto"> {
  if (dtype === "auto" || dtype === "fp32") return "fp32";
  if (dtype === "int8" ? name === "cpu" : compute.includes("f16")) return dtype;
  const why = {
    int8: `int8 is for the CPU: ${name} computes in fp32. Pass --device cpu.`,
    fp16:
      name === "cpu"
        ? "fp16 is for GPUs: the CPU computes in fp32."
        : `${name} does not compute rightly in fp16 here, so it computes in fp32.`,
  };
  notice?.(why[dtype]);
  return "fp32";
}

/** How `calibrateModel` measures. */
export type CalibrateModelOptions = FindOptions &
  Pick<RunOptions, "threads" | "lowMemory"> &
  Partial<Omit<CalibrationOptions, "engine" | "lowMemory">>;

/**
 * Measures how large the results of a model's layers become, for pictures in int8, and keeps that in the
 * cache folder; whatever was known before is replaced. Yields after each step.
 */
export async function* calibrateModel(
  ref: string = defaultModel(),
  options: CalibrateModelOptions = {},
): AsyncGenerator<CalibrationProgress, void, undefined> {
  const { platform = nodePlatform(), threads, signal } = options;
  const files = await findModel(ref, { ...options, platform });
  await using engine = nodeEngine({ platform, device: "cpu", threads });
  const thorough = THOROUGH_CALIBRATION;
  const { prompts = thorough.prompts, steps = thorough.steps, room = thorough.room } = options;
  const { width, height, seed, lowMemory } = options;
  const settings = { prompts, steps, room, width, height, seed, lowMemory, signal };
  const ranges = yield* calibrate(files, { ...settings, engine, platform });
  await writeRanges(platform, await rangesPath(platform, files), ranges);
}

/** Tells of each load before and after it, and has it profiled where that is wished. */
function timedLoads({ onLoad, onLoaded, profile }: RunOptions): {
  begin(part: Part): void;
  around(engine: Engine): Engine["load"];
} {
  let part: Part = "text";
  return {
    begin(next) {
      part = next;
      onLoad?.(next);
    },
    around: (engine) => async (graph, weights, options) => {
      const loading = part;
      const started = performance.now();
      const program = await engine.load(graph, weights, {
        ...options,
        profile: profile && `${profile}-${loading}`,
      });
      onLoaded?.(loading, performance.now() - started);
      return program;
    },
  };
}

/**
 * Trains an "autoencoder", a "clip" or a "diffusion" model, or a kind of your own, on this machine's
 * CPU and yields after each step. `config` is JSON as docs/training.md has it, or a function that
 * makes it of the settings that a resumed run has. Throws a TintypeError: "bad-argument" for a config
 * or a folder that does not fit, "diverged" for a loss that does, "aborted" once the signal's step is
 * saved.
 */
export async function* trainModel(
  kind: TrainingKind,
  config: unknown,
  options: TrainModelOptions,
): AsyncGenerator<TrainStep, void, void> {
  const training = await import("./training/node.js"); // whoever makes pictures need not load it
  yield* training.trainModel(kind, config, options);
}

/** Writes the model that a run has trained so far into its folder `model`; returns that path. */
export async function exportTrained(
  kind: TrainingKind,
  options: Omit<TrainModelOptions, "resume" | "configName">,
): Promise<string> {
  const training = await import("./training/node.js");
  return training.exportTrained(kind, options);
}

/**
 * Measures a model that draws postcards on prompts that no training saw: pictures are made for them, a
 * judge says what is in these. Yields on the way; `finish(evaluateModel(...))` gives what was measured.
 * Throws "bad-argument" for settings out of range, "aborted" once its signal is.
 */
export async function* evaluateModel(
  model: DiffusionModel,
  options: EvaluateModelOptions = {},
): AsyncGenerator<EvaluationProgress, Evaluation, undefined> {
  const evaluation = await import("./evaluation/node.js");
  return yield* evaluation.evaluateModel(model, options);
}

/** Writes a picture as PNG, whole or not at all, with text chunks such as A1111's `parameters`. */
export async function savePicture(
  path: string,
  picture: Picture,
  text: Readonly<Record<string, string>> = {},
  { platform = nodePlatform(), signal }: { platform?: Platform; signal?: AbortSignal } = {},
): Promise<void> {
  const bytes = await encodePng(picture, text);
  await platform.files.writeAtomically(platform.resolve(path), [bytes], { signal });
}
