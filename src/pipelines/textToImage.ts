import { planSampling } from "../diffusion/index.js";
import { scale } from "../tensor/elementwise.js";
import { randnBatch } from "../tensor/random.js";
import { passageOf } from "./decode.js";
import type { DiffusionModel } from "./model.js";
import {
  type GenerationRequest,
  latentShape,
  noiseSources,
  requireNoMask,
  settle,
} from "./request.js";
import { encodeConditioning, type Generation, sample } from "./run.js";

/**
 * Pictures from prompts. Yields after each step; `finish(textToImage(...))` gives the pictures at
 * once. Throws "bad-argument" for settings out of range, "aborted" once its signal is.
 * Source: Rombach et al. 2022; diffusers StableDiffusionPipeline.
 */
export async function* textToImage(model: DiffusionModel, request: GenerationRequest): Generation {
  const native = { width: model.nativeSize, height: model.nativeSize };
  const settings = settle(request, native, model);
  requireNoMask(model);
  const plan = planFor(model, request, settings.steps);
  const passage = passageOf(model, settings, ["text", "unet", "decoder"], request);
  const conditioning = await encodeConditioning(model, settings);
  const noise = noiseSources(settings);
  const x = scale(randnBatch(noise, latentShape(model, settings)), plan.initialNoise);
  return yield* sample(model, request, conditioning, { settings, plan, noise, x, passage });
}

/** The sampling plan of a request on this model. */
export function planFor(
  model: DiffusionModel,
  request: GenerationRequest,
  steps: number,
  more: { readonly strength?: number; readonly inpaint?: boolean } = {},
): ReturnType<typeof planSampling> {
  const { sampler = model.defaults.sampler, schedule, eta } = request;
  const { scheduler: config, prediction } = model;
  return planSampling({ config, prediction, sampler, schedule, eta, steps, ...more });
}
