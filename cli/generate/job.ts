import { resolveSampler, resolveSchedule } from "../../src/diffusion/index.js";
import type { Picture } from "../../src/image/picture.js";
import {
  DEEP_CACHE_POWER,
  type DiffusionModel,
  decodePicture,
  defaultModel,
  type Generation,
  type GenerationRequest,
  imageToImage,
  inpaint,
  type Tiling,
  TintypeError,
  textToImage,
} from "../../src/node.js";
import type { Platform } from "../../src/platform/types.js";
import { check } from "../../src/util/errors.js";
import type { GenerateOptions } from "./options.js";
import { outputNames } from "./output.js";

/*
 * From options to what the library is asked for.
 */

const MAX_PICTURES = 100_000;

/** The pictures that a run begins with. */
export interface Inputs {
  readonly image?: Picture;
  /** In colour: it turns gray after it is resized, as in diffusers. */
  readonly mask?: Picture;
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

/** Decides seeds and names, and checks what options say about each other. Throws "bad-argument". */
export function planJob(prompt: string, options: GenerateOptions): Job {
  const { initImage, mask, strength, batchSize, batchCount } = options;
  const needs = (option: string): string => `${option} needs --init-image: the picture to change.`;
  check(mask === undefined || initImage !== undefined, "bad-argument", needs("--mask"));
  check(strength === undefined || initImage !== undefined, "bad-argument", needs("--strength"));
  check(
    options.vaeTiling !== "off" || (options.vaeTile ?? options.vaeOverlap) === undefined,
    "bad-argument",
    "--vae-tiling off: there are no tiles then, so leave out --vae-tile and --vae-overlap.",
  );
  const { deepCache, deepCacheBranch, deepCachePower } = options;
  check(
    deepCache > 1 || (deepCacheBranch === 0 && deepCachePower === DEEP_CACHE_POWER),
    "bad-argument",
    "--deep-cache-branch and --deep-cache-power need --deep-cache N: for how many steps to reuse features.",
  );
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

/** Reads the pictures that options name. Throws "not-found" or "bad-file". */
export async function readInputs(options: GenerateOptions, platform: Platform): Promise<Inputs> {
  const bytesOf = async (path: string): Promise<Uint8Array> => {
    const file = await platform.openFile(path);
    return await file.read(0, file.size);
  };
  const { initImage, mask } = options;
  if (initImage === undefined) return {};
  const image = await decodePicture(await bytesOf(initImage), initImage);
  if (mask === undefined) return { image };
  return { image, mask: await decodePicture(await bytesOf(mask), mask) };
}

/** The files of a batch. */
export function filesOf({ files, options }: Job, batch: number): readonly string[] {
  return files.slice(batch * options.batchSize, (batch + 1) * options.batchSize);
}

/** Starts a batch of a job. `more` is what no option sets, or sets otherwise. */
export function beginBatch(
  model: DiffusionModel,
  job: Job,
  inputs: Inputs,
  batch: number,
  signal?: AbortSignal,
  more: Pick<GenerationRequest, "guidanceRescale" | "freeParts" | "onTile" | "onNotice"> = {},
): Generation {
  const { image, mask } = inputs;
  requireInputs(model, inputs);
  const request = { ...requestFor(job, batch, signal), ...more };
  if (image === undefined) return textToImage(model, request);
  const { strength } = job.options;
  if (mask === undefined) return imageToImage(model, { ...request, image, strength });
  return inpaint(model, { ...request, image, mask, strength });
}

function requestFor(
  { prompt, options, seeds }: Job,
  batch: number,
  signal: AbortSignal | undefined,
): GenerationRequest {
  const { negativePrompt, steps, cfgScale, sampler, schedule, eta, rng } = options;
  const { width, height, batchSize, batchCount, guidanceSteps, mergeTokens } = options;
  const { deepCache: every, deepCacheBranch: branch, deepCachePower: power } = options;
  return {
    prompt,
    negativePrompt,
    steps,
    guidanceScale: cfgScale,
    guidanceSteps,
    deepCache: { every, branch, power },
    mergeTokens,
    tiling: tilingOf(options),
    sampler,
    schedule,
    eta,
    rng,
    width,
    height,
    batchSize,
    seed: seeds[batch * batchSize],
    freeParts: batch + 1 === batchCount || ["text"], // every batch has the same prompt
    signal,
  };
}

/** Tiles that are named are wanted. */
function tilingOf({ vaeTiling, vaeTile: tile, vaeOverlap: overlap }: GenerateOptions): Tiling {
  if (tile !== undefined || overlap !== undefined) return { tile, overlap };
  return vaeTiling === "auto" ? "auto" : vaeTiling === "on";
}

/** An inpainting checkpoint looks at a picture and a mask beside the latents. */
function requireInputs({ name, unet, vae }: DiffusionModel, { mask }: Inputs): void {
  if (unet.inChannels === vae.latentChannels || mask !== undefined) return;
  throw new TintypeError(
    "bad-argument",
    `${name} is an inpainting model: it needs a picture (--init-image) and a mask (--mask).`,
  );
}
