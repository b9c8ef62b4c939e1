import { addNoise, type StepHook } from "../diffusion/index.js";
import { latentMask, maskedImage, maskToTensor } from "../image/inpaint.js";
import { picturesToTensor } from "../image/picture.js";
import { resize } from "../image/resize.js";
import { concatBatch, concatChannels, scale } from "../tensor/elementwise.js";
import { type NoiseSource, randnBatch } from "../tensor/random.js";
import { type Tensor, tensor } from "../tensor/tensor.js";
import { throwIfAborted } from "../util/errors.js";
import { encode, passageOf } from "./decode.js";
import { sizeOfImage } from "./imageToImage.js";
import type { DiffusionModel } from "./model.js";
import { samplePosterior } from "./posterior.js";
import { type InpaintRequest, latentShape, noiseSources, settle } from "./request.js";
import { encodeConditioning, type Generation, type Start, sample } from "./run.js";
import { planFor } from "./textToImage.js";

const DEFAULT_STRENGTH = 1;

/**
 * Repaints the masked part of a picture. An inpainting checkpoint (9 channels) is shown the mask
 * and the rest of the picture; with any other (4 channels) the rest is put back after every step.
 * Nothing is composited in pixels. Each picture of the batch draws: the picture's posterior sample
 * (4 channels, or strength below 1), its noise, the masked picture's posterior sample.
 * Throws as `textToImage` does. Source: diffusers StableDiffusionInpaintPipeline.
 */
export async function* inpaint(model: DiffusionModel, request: InpaintRequest): Generation {
  const { image, strength = DEFAULT_STRENGTH } = request;
  const settings = settle(request, sizeOfImage(image), model);
  const { width, height } = settings;
  const plan = planFor(model, request, settings.steps, { strength, inpaint: true });
  const passage = passageOf(model, settings, ["text", "encoder", "unet", "decoder"], request);
  const conditioning = await encodeConditioning(model, settings);
  throwIfAborted(request.signal);
  const noise = noiseSources(settings);
  const pixels = picturesToTensor([resize(image, width, height)]);
  const mask = maskToTensor(request.mask, width, height);
  const [batch, channels, h, w] = latentShape(model, settings);
  const smallMask = latentMask(mask, h, w);
  const sees = model.unet.inChannels > model.vae.latentChannels; // the mask, and what it leaves

  const { scalingFactor } = model.vae;
  const posterior = async (seen: Tensor): Promise<Tensor> =>
    samplePosterior(await encode(model, seen, passage), noise, scalingFactor);
  const clean = !sees || strength < 1 ? await posterior(pixels) : undefined;
  const fresh = randnBatch(noise, [batch, channels, h, w]);
  const x = strength < 1 ? addNoise(clean!, fresh, plan.start) : scale(fresh, plan.initialNoise);
  const start: Start = { settings, plan, noise, x, passage };
  if (sees) {
    const masks = concatBatch(Array<Tensor>(batch).fill(smallMask));
    const beside = concatChannels(masks, await posterior(maskedImage(pixels, mask)));
    return yield* sample(model, request, conditioning, { ...start, beside });
  }
  skipDraw(noise, [batch, channels, h, w]);
  const afterStep = keepOutside(smallMask, clean!, fresh);
  return yield* sample(model, request, conditioning, { ...start, afterStep });
}

/** diffusers draws the masked picture's posterior sample even where nothing looks at it. */
function skipDraw(noise: readonly NoiseSource[], shape: readonly number[]): void {
  randnBatch(noise, shape);
}

/** After each step: the picture, noised to where x is now, outside the mask; x inside. */
function keepOutside(mask: Tensor, clean: Tensor, noise: Tensor): StepHook {
  const area = mask.data.length;
  return (x, next) => {
    const known = next.sigma === 0 ? clean : addNoise(clean, noise, next);
    const data = x.data.map((v, i) => (mask.data[i % area]! === 1 ? v : known.data[i]!));
    return tensor(x.shape, data);
  };
}
