import { type Picture, picturesToTensor, tensorToPictures } from "../image/picture.js";
import { resize } from "../image/resize.js";
import type { DiffusionModel } from "../pipelines/model.js";
import { posteriorMean } from "../pipelines/posterior.js";
import { textToImage } from "../pipelines/textToImage.js";
import { type EvaluationPrompt, evaluationPrompts } from "../postcards/evaluation.js";
import type { Scene } from "../postcards/world.js";
import { check, throwIfAborted } from "../util/errors.js";
import { type Accuracy, accuracyOf, type Check, checksOf } from "./checks.js";
import { frechetDistance, gaussianOf } from "./frechet.js";
import { freshChecks, freshScenes } from "./fresh.js";
import type { Judge } from "./judge/read.js";
import { psnr, ssim } from "./pictureQuality.js";

/** How pictures are made for prompts and looked at. */
export interface PromptOptions {
  /** Prompts, a picture each, at least 2. */
  readonly prompts: number;
  /** Picture k is drawn with seed + k; 0 by default. */
  readonly seed?: bigint | undefined;
  readonly steps?: number | undefined;
  readonly guidanceScale?: number | undefined;
  readonly sampler?: string | undefined;
  /** Pictures at once; 8 by default. */
  readonly batchSize?: number | undefined;
  readonly paint: (scene: Scene) => Picture;
  readonly signal?: AbortSignal | undefined;
}

/** How a model is measured. */
export interface EvaluationOptions extends PromptOptions {
  /** Freshly painted pictures that the judge and the autoencoder are measured on. */
  readonly fresh?: { readonly judge: number; readonly autoencoder: number } | undefined;
}

/** A picture that was made for a prompt, and what is right about it. */
export interface EvaluatedPicture {
  readonly prompt: string;
  readonly seed: bigint;
  readonly picture: Picture;
  /** The painter's picture of a scene that the prompt is true of. */
  readonly painted: Picture;
  readonly checks: readonly Check[];
}

/** What was measured on prompts. */
export interface PromptResults {
  readonly accuracy: Accuracy;
  /** Squared Frechet distance of the judge's features, generated against painted pictures. */
  readonly frechet: number;
  readonly pictures: readonly EvaluatedPicture[];
  readonly settings: {
    readonly seed: bigint;
    readonly steps: number;
    readonly guidanceScale: number;
    readonly sampler: string;
  };
  /** Seconds a picture took, the model loaded. */
  readonly secondsPerPicture: number;
}

/** What was measured. */
export interface Evaluation extends PromptResults {
  /** The judge's own accuracy, on freshly painted pictures, about everything in them. */
  readonly judge: Accuracy;
  /** Of the autoencoder on freshly painted pictures, in dB; the mean over pictures. */
  readonly psnr: number;
  readonly ssim: number;
}

/** How far an evaluation is. */
export interface EvaluationProgress {
  readonly stage: "generate" | "judge" | "autoencoder";
  readonly done: number;
  readonly total: number;
}

const AT_ONCE = 8;

type Progressing<T> = AsyncGenerator<EvaluationProgress, T, undefined>;

/**
 * Measures a model on prompts with combinations that no training scene has, then the judge and the
 * autoencoder on freshly painted pictures. Yields on the way. Throws "bad-argument" for settings out
 * of range, and what the pipeline does.
 */
export async function* evaluate(
  model: DiffusionModel,
  judge: Judge,
  options: EvaluationOptions,
): Progressing<Evaluation> {
  const { fresh = { judge: 1000, autoencoder: 64 } } = options;
  const results = yield* evaluatePrompts(model, judge, options);
  const own = yield* judgeItself(judge, fresh.judge, options);
  return { ...results, judge: own, ...(yield* autoencode(model, fresh.autoencoder, options)) };
}

/** Makes a picture for each prompt, and asks the judge what is in it. Yields and throws as `evaluate`. */
export async function* evaluatePrompts(
  model: DiffusionModel,
  judge: Judge,
  options: PromptOptions,
): Progressing<PromptResults> {
  const { prompts: count, paint } = options;
  check(count >= 2, "bad-argument", `prompts: expected at least 2, got ${count}.`);
  const prompts = evaluationPrompts(count);
  const { pictures, settings, seconds } = yield* generate(model, prompts, options);
  const side = judge.config.sampleSize;
  const seen = await judge.judge(pictures.map((picture) => sized(picture, side)));
  const painted = prompts.map(({ scene }) => paint(scene));
  const { features } = await judge.judge(painted);
  const checks = prompts.map(({ expected }, i) => checksOf(expected, seen.answers[i]!));
  return {
    accuracy: accuracyOf(checks),
    frechet: frechetDistance(gaussianOf(seen.features), gaussianOf(features)),
    pictures: prompts.map(({ prompt }, i) => ({
      prompt,
      seed: settings.seed + BigInt(i),
      picture: pictures[i]!,
      painted: painted[i]!,
      checks: checks[i]!,
    })),
    settings,
    secondsPerPicture: seconds / count,
  };
}

/** The judge's own accuracy, with progress. */
async function* judgeItself(
  judge: Judge,
  total: number,
  { paint, signal }: EvaluationOptions,
): Progressing<Accuracy> {
  const checks: (readonly Check[])[] = [];
  while (checks.length < total) {
    throwIfAborted(signal);
    const count = Math.min(32, total - checks.length);
    checks.push(...(await freshChecks(judge, paint, checks.length, count)));
    yield { stage: "judge", done: checks.length, total };
  }
  return accuracyOf(checks);
}

async function* generate(
  model: DiffusionModel,
  prompts: readonly EvaluationPrompt[],
  options: PromptOptions,
): Progressing<{ pictures: Picture[]; settings: PromptResults["settings"]; seconds: number }> {
  const { seed = 0n, steps, guidanceScale, sampler, signal, batchSize = AT_ONCE } = options;
  const total = prompts.length;
  const pictures: Picture[] = [];
  let settings: PromptResults["settings"] | undefined;
  let milliseconds = 0;
  while (pictures.length < total) {
    const done = pictures.length;
    const some = prompts.slice(done, done + batchSize).map(({ prompt }) => prompt);
    const first = seed + BigInt(done);
    const request = { prompt: some, seed: first, steps, guidanceScale, sampler, signal };
    const generation = textToImage(model, request);
    for (;;) {
      const { done: isMade, value } = await generation.next();
      if (isMade) {
        pictures.push(...value.pictures);
        const { textMs, callMs, decodeMs } = value.timings;
        milliseconds += textMs + decodeMs + callMs.reduce((a, b) => a + b, 0);
        const { sampler } = value.plan;
        settings = { ...value.settings, seed, sampler };
        break;
      }
      const share = (value.i + 1) / value.count;
      yield { stage: "generate", done: done + share * some.length, total };
    }
  }
  return { pictures, settings: settings!, seconds: milliseconds / 1000 };
}

/** Fresh pictures against what the autoencoder makes of them. */
async function* autoencode(
  model: DiffusionModel,
  total: number,
  { paint, signal }: EvaluationOptions,
): Progressing<{ psnr: number; ssim: number }> {
  const sums = { psnr: 0, ssim: 0 };
  for (let done = 0; done < total; ) {
    throwIfAborted(signal);
    const pictures = freshScenes(done, Math.min(AT_ONCE, total - done)).map(paint);
    const moments = await model.encodeImage(picturesToTensor(pictures));
    const decoded = tensorToPictures(await model.decodeLatents(posteriorMean(moments)));
    for (const [i, picture] of pictures.entries()) {
      sums.psnr += psnr(picture, decoded[i]!);
      sums.ssim += ssim(picture, decoded[i]!);
    }
    done += pictures.length;
    yield { stage: "autoencoder", done, total };
  }
  return { psnr: sums.psnr / total, ssim: sums.ssim / total };
}

/** The picture as the judge takes it; a model may make larger ones. */
function sized(picture: Picture, side: number): Picture {
  const fits = picture.width === side && picture.height === side;
  return fits ? picture : resize(picture, side, side, "lanczos");
}
