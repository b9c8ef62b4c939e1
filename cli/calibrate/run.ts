import { vaeFactor } from "../../src/models/vae/config.js";
import {
  calibrateModel,
  defaultModel,
  type FindOptions,
  findModel,
  type Int8Ranges,
  nodePlatform,
  rangesPath,
  readRanges,
  THOROUGH_CALIBRATION,
} from "../../src/node.js";
import type { Platform } from "../../src/platform/types.js";
import { readText } from "../../src/util/bytes.js";
import { counted } from "../../src/util/counted.js";
import { check } from "../../src/util/errors.js";
import { formatDuration, jsonSeed, snakeCase } from "../format.js";
import { type Progress, progressOn } from "../progress.js";
import type { Terminal } from "../terminal.js";
import type { CalibrateOptions } from "./options.js";

/** A calibration that is over. */
interface Calibrated {
  readonly model: string;
  readonly prompts: readonly string[];
  readonly steps: number;
  readonly width: number;
  readonly height: number;
  readonly room: number;
  /** Of the first prompt. */
  readonly seed: number | string;
  /** Layers whose results were measured, by part. */
  readonly layers: { readonly unet: number; readonly decoder: number };
  /** Where their ranges are kept. */
  readonly file: string;
  readonly seconds: number;
}

/** Runs `tintype calibrate`. */
export async function runCalibration(options: CalibrateOptions, terminal: Terminal): Promise<void> {
  const platform = nodePlatform();
  const prompts = await promptsOf(options, platform);
  using progress = progressOn(terminal, { live: terminal.live && options.json !== true });
  const calibrated = await measure(options, prompts, platform, progress, terminal);
  progress.idle();
  if (options.json === true) {
    terminal.out(`${JSON.stringify(snakeCase(calibrated))}\n`);
    return;
  }
  const { layers, seconds, file } = calibrated;
  const count = layers.unet + layers.decoder;
  terminal.err(`measured ${counted(count, "layer")} in ${formatDuration(1000 * seconds)}\n`);
  terminal.out(`${file}\n`);
}

/** What to draw: the prompts of the command line, those of a file, or some of several kinds. */
async function promptsOf(
  { prompt, prompts: file }: CalibrateOptions,
  platform: Platform,
): Promise<readonly string[]> {
  if (file === undefined) return prompt ?? THOROUGH_CALIBRATION.prompts;
  check(
    prompt === undefined,
    "bad-argument",
    "--prompts: give a file of prompts, or each with --prompt, but not both.",
  );
  const text = await readText(await platform.openFile(file));
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const prompts = lines.filter((line) => line !== "");
  check(
    prompts.length > 0,
    "bad-argument",
    `--prompts: ${file} holds no prompts. Write one in each line.`,
  );
  return prompts;
}

async function measure(
  options: CalibrateOptions,
  prompts: readonly string[],
  platform: Platform,
  progress: Progress,
  { now, signal }: Terminal,
): Promise<Calibrated> {
  const { model = defaultModel(), config, vae, variant, seed } = options;
  const { steps, room, threads, lowMemory } = options;
  const find: FindOptions = { platform, signal, config, vae, variant };
  const files = await findModel(model, {
    ...find,
    onDownload: progress.download,
    onNotice: (message) => progress.notice(`tintype: ${message}`),
  });
  const side = files.unet.config.sampleSize * vaeFactor(files.vae.config);
  const { width = side, height = side } = options;
  const started = now();
  progress.sampling();
  const settings = { prompts, steps, width, height, room, seed, threads, lowMemory };
  for await (const { done, total } of calibrateModel(model, { ...find, ...settings }))
    progress.step(Math.round(done), total);
  const seconds = (now() - started) / 1000;
  const file = await rangesPath(platform, files);
  return {
    ...{ model, prompts, steps, width, height, room, file, seconds },
    seed: jsonSeed(seed),
    layers: layersOf((await readRanges(platform, file))!),
  };
}

const layersOf = ({ unet, decoder }: Int8Ranges): Calibrated["layers"] => ({
  unet: unet.size,
  decoder: decoder.size,
});
