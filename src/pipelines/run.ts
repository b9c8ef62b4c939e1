import {
  classifierFreeGuidance,
  denoiserFrom,
  type Level,
  type SamplingPlan,
  type StepHook,
  splitPair,
} from "../diffusion/index.js";
import type { Picture } from "../image/picture.js";
import { latentsToRgb } from "../image/preview.js";
import { concatBatch, concatChannels, sliceBatch } from "../tensor/elementwise.js";
import type { NoiseSource } from "../tensor/random.js";
import type { Tensor } from "../tensor/tensor.js";
import { check, throwIfAborted } from "../util/errors.js";
import { decode, type Passage } from "./decode.js";
import type { DiffusionModel } from "./model.js";
import type { Part } from "./parts.js";
import type { GenerationRequest, Settings } from "./request.js";
import { fullSteps } from "./shortcuts.js";
import type { Tiles } from "./tiling.js";

/** What a pipeline yields after each step. */
export interface GenerationStep {
  /** Index of the step, from 0. */
  readonly i: number;
  readonly count: number;
  /** Milliseconds of each network call so far. */
  readonly callMs: readonly number[];
  /** The estimate of the clean latents [B,4,h,w], as the UNet sees them. */
  readonly denoised: Tensor;
  /** Small pictures of what is coming, one pixel a latent, without the decoder. */
  preview(): Picture[];
}

/** What a pipeline returns. */
export interface Generated {
  readonly pictures: readonly Picture[];
  /** The final latents [B,4,h,w]. */
  readonly latents: Tensor;
  readonly settings: Settings;
  readonly plan: SamplingPlan;
  /** The tiles in which pictures passed the autoencoder because memory asked for it, or the request. */
  readonly tiles: Tiles | undefined;
  /** For each prompt, its end that did not fit the text encoder. */
  readonly truncated: readonly (string | undefined)[];
  /** Milliseconds, loading excluded where the parts were loaded before. */
  readonly timings: Timings;
}

export interface Timings {
  readonly textMs: number;
  readonly callMs: readonly number[];
  readonly decodeMs: number;
}

/** A pipeline under way: iterate it for its steps, or `finish` it for its result. */
export type Generation = AsyncGenerator<GenerationStep, Generated, undefined>;

/** What makes one pipeline different from the others, once its start is known. */
export interface Start {
  readonly settings: Settings;
  readonly plan: SamplingPlan;
  readonly noise: readonly NoiseSource[];
  /** Latents that sampling begins with [B,4,h,w]. */
  readonly x: Tensor;
  /** Further channels that the UNet sees beside the latents [B,*,h,w] (inpainting checkpoints). */
  readonly beside?: Tensor;
  readonly afterStep?: StepHook;
  readonly passage: Passage;
}

/** Prompts as the UNet takes them, before and beside each other: what all pipelines begin with. */
export interface Conditioning {
  readonly cond: Tensor;
  readonly uncond: Tensor | undefined;
  readonly truncated: readonly (string | undefined)[];
  readonly textMs: number;
}

/**
 * Encodes prompts and, when there is guidance, negative prompts; equal ones once. The UNet is loaded
 * meanwhile.
 */
export async function encodeConditioning(
  model: DiffusionModel,
  { prompts, negativePrompts, guidanceScale, shortcuts }: Settings,
): Promise<Conditioning> {
  const started = performance.now();
  const guided = guidanceScale > 1;
  const distinct = [...new Set([...prompts, ...(guided ? negativePrompts : [])])];
  model.prepareUNet(shortcuts);
  const { hidden, truncated } = await model.encodePrompts(distinct);
  const rows = (wanted: readonly string[]): Tensor =>
    concatBatch(wanted.map((p) => sliceBatch(hidden, distinct.indexOf(p), 1)));
  return {
    cond: rows(prompts),
    uncond: guided ? rows(negativePrompts) : undefined,
    truncated: prompts.map((p) => truncated[distinct.indexOf(p)]),
    textMs: performance.now() - started,
  };
}

/** Samples from a start to latents, then decodes: the part that all pipelines share. */
export async function* sample(
  model: DiffusionModel,
  request: GenerationRequest,
  conditioning: Conditioning,
  start: Start,
): Generation {
  const { settings, plan, noise, x, afterStep } = start;
  const { signal } = request;
  throwIfAborted(signal);
  requireGuidedSteps(request, plan);
  const callMs: number[] = [];
  const network = conditionedNetwork(stepping(model, start), conditioning, start.beside, callMs);
  const guided = classifierFreeGuidance(network, {
    scale: settings.guidanceScale,
    rescale: request.guidanceRescale ?? 0,
    ...(request.guidanceSteps ? { steps: request.guidanceSteps } : {}),
  });
  const denoise = denoiserFrom(async (y, level) => {
    throwIfAborted(signal);
    return await guided(y, level);
  }, plan.prediction);

  const free = async (...parts: readonly Part[]): Promise<void> => {
    const { freeParts = false } = request;
    const freed = parts.filter((part) => freeParts === true || (freeParts || []).includes(part));
    for (const part of freed) await model.release(part);
  };
  await free("text", "encoder");
  let latents = x;
  for await (const step of plan.run(denoise, x, { noise, afterStep })) {
    latents = step.x;
    const { i, count, denoised } = step;
    yield { i, count, callMs: [...callMs], denoised, preview: () => latentsToRgb(denoised) };
    throwIfAborted(signal);
  }
  await free("unet");
  const started = performance.now();
  const { pictures, tiles } = await decode(model, latents, start.passage);
  const decodeMs = performance.now() - started;
  await free("decoder");
  const { truncated, textMs } = conditioning;
  const timings = { textMs, callMs, decodeMs };
  return { pictures, latents, settings, plan, tiles, truncated, timings };
}

/** A range of steps that none of the run's is in is a mistake. */
function requireGuidedSteps(
  { guidanceSteps }: GenerationRequest,
  { count }: Pick<SamplingPlan, "count">,
): void {
  const from = guidanceSteps?.from ?? 0;
  check(
    !(from >= count),
    "bad-argument",
    `guidance steps: expected to begin before step ${count}, where this run ends, got ${from}.`,
  );
}

/** The UNet at a level, told what text to look at. */
type Step = (x: Tensor, level: Level, context: Tensor) => Promise<Tensor>;

/** The UNet with the shortcuts of a run. */
function stepping(model: DiffusionModel, { settings: { shortcuts }, plan }: Start): Step {
  const predict = model.predictor(shortcuts);
  const full = shortcuts.deepCache && fullSteps(plan.count, shortcuts.deepCache);
  return (x, { t, step }, context) => {
    const reuse = full !== undefined && step !== undefined && !full.has(step);
    return predict(x, t, context, { reuse });
  };
}

/** The UNet with both prompts: one call over the same pictures where both answers are wanted. */
function conditionedNetwork(
  step: Step,
  { cond, uncond }: Conditioning,
  beside: Tensor | undefined,
  callMs: number[],
) {
  const call: Step = async (x, level, context) => {
    const started = performance.now();
    const prediction = await step(x, level, context);
    callMs.push(performance.now() - started);
    return prediction;
  };
  const seen = (x: Tensor): Tensor => (beside ? concatChannels(x, beside) : x);
  const both = uncond && concatBatch([uncond, cond]);
  return {
    both: async (x: Tensor, level: Level) =>
      splitPair(await call(seen(x), level, both ?? concatBatch([cond, cond]))),
    cond: (x: Tensor, level: Level) => call(seen(x), level, cond),
  };
}

/** Runs a pipeline, or whatever else yields on the way, to its end; returns its result. */
export async function finish<Result>(
  running: AsyncGenerator<unknown, Result, undefined>,
): Promise<Result> {
  for (;;) {
    const { done, value } = await running.next();
    if (done) return value;
  }
}
