import { addNoise } from "../diffusion/index.js";
import { type Picture, picturesToTensor } from "../image/picture.js";
import { resize, sizeToMultipleOf8 } from "../image/resize.js";
import { randnBatch } from "../tensor/random.js";
import { throwIfAborted } from "../util/errors.js";
import { encode, passageOf } from "./decode.js";
import type { DiffusionModel } from "./model.js";
import { samplePosterior } from "./posterior.js";
import {
  type ImageToImageRequest,
  latentShape,
  noiseSources,
  requireNoMask,
  settle,
} from "./request.js";
import { encodeConditioning, type Generation, sample } from "./run.js";
import { planFor } from "./textToImage.js";

const DEFAULT_STRENGTH = 0.8;

/**
 * Pictures from prompts and a picture to begin with: it is encoded, noised as far as `strength`
 * says, and denoised from there. Each picture of the batch draws its posterior sample, then its
 * noise. Throws as `textToImage` does.
 * Source: Meng et al. 2022 (SDEdit); diffusers StableDiffusionImg2ImgPipeline.
 */
export async function* imageToImage(
  model: DiffusionModel,
  request: ImageToImageRequest,
): Generation {
  const { image, strength = DEFAULT_STRENGTH } = request;
  const settings = settle(request, sizeOfImage(image), model);
  requireNoMask(model);
  const plan = planFor(model, request, settings.steps, { strength });
  const passage = passageOf(model, settings, ["text", "encoder", "unet", "decoder"], request);
  const conditioning = await encodeConditioning(model, settings);
  throwIfAborted(request.signal);
  const noise = noiseSources(settings);
  const pixels = picturesToTensor([resize(image, settings.width, settings.height)]);
  const moments = await encode(model, pixels, passage);
  const clean = samplePosterior(moments, noise, model.vae.scalingFactor);
  const x = addNoise(clean, randnBatch(noise, latentShape(model, settings)), plan.start);
  return yield* sample(model, request, conditioning, { settings, plan, noise, x, passage });
}

/** An image without sizes keeps its own, floored to multiples of 8. */
export function sizeOfImage(image: Picture): { readonly width: number; readonly height: number } {
  return sizeToMultipleOf8(image.width, image.height);
}
