import type { Mask, Picture } from "../image/picture.js";
import type { NoiseSource } from "../tensor/random.js";
import { cudaNoise, torchCpuNoise } from "../tensor/random.js";
import { check, throwIfAborted } from "../util/errors.js";
import type { RunSize } from "./memory.js";
import type { DiffusionModel } from "./model.js";
import type { Part } from "./parts.js";
import { type ShortcutRequest, type Shortcuts, settleShortcuts } from "./shortcuts.js";
import { settleTiling, type TileProgress, type Tiling, type TilingSettings } from "./tiling.js";

/** What every pipeline may be told. */
export interface GenerationRequest extends ShortcutRequest {
  readonly prompt: string | readonly string[];
  /** What to steer away from; one for all prompts, or one each. Empty by default. */
  readonly negativePrompt?: string | readonly string[] | undefined;
  /** Pixels, a multiple of 8; the model's own size, or the init image's, by default. */
  readonly width?: number | undefined;
  readonly height?: number | undefined;
  /** Denoising steps; the model's own by default, or 20. */
  readonly steps?: number | undefined;
  /** Strength of classifier-free guidance; the model's own or 7.5 by default, 1 and less mean none. */
  readonly guidanceScale?: number | undefined;
  /** Lin et al. 2023, section 3.4: 0 (none, the default) to 1. */
  readonly guidanceRescale?: number | undefined;
  /** Steps [from, to) that are guided, counted from 0; all by default. Others take half the time. */
  readonly guidanceSteps?: { readonly from: number; readonly to: number } | undefined;
  /** A sampler's name; the model's own by default. */
  readonly sampler?: string | undefined;
  /** A schedule's name; the sampler's or the model's own by default. */
  readonly schedule?: string | undefined;
  /** Noise of DDIM, 0 to 1; 0 by default. */
  readonly eta?: number | undefined;
  /** Picture k is drawn with seed + k; a random seed by default. */
  readonly seed?: number | bigint | undefined;
  /** Whose random numbers: PyTorch's on a CPU (the default), or on an NVIDIA GPU. */
  readonly rng?: "cpu" | "cuda" | undefined;
  /** Pictures of each prompt; 1 by default. */
  readonly batchSize?: number | undefined;
  /**
   * Frees each part of the model after its last use in this run, or those that it lists: least memory at
   * the peak for what does not run again soon. Parts are loaded again when they are needed.
   */
  readonly freeParts?: boolean | readonly Part[] | undefined;
  /**
   * Whether the autoencoder works in tiles, which take less memory and change the picture a little: "auto",
   * the default, where it would not fit otherwise; true: in tiles of 512 pixels, or those named here.
   */
  readonly tiling?: Tiling | undefined;
  /** Told after each tile. */
  readonly onTile?: ((progress: TileProgress) => void) | undefined;
  /** Told what a user should know. */
  readonly onNotice?: ((message: string) => void) | undefined;
  /** Stops the run after the step, or the tile, that is under way. */
  readonly signal?: AbortSignal | undefined;
}

export interface ImageToImageRequest extends GenerationRequest {
  readonly image: Picture;
  /** How much of the picture is made anew, in (0, 1]; 0.8 by default. */
  readonly strength?: number | undefined;
}

export interface InpaintRequest extends GenerationRequest {
  readonly image: Picture;
  /** White where the picture is repainted; resized with the picture. */
  readonly mask: Mask | Picture;
  /** How much of the masked part is made anew, in (0, 1]; 1 by default. */
  readonly strength?: number | undefined;
}

/** A request with everything decided that the sampler does not decide. */
export interface Settings {
  readonly prompts: readonly string[];
  readonly negativePrompts: readonly string[];
  readonly width: number;
  readonly height: number;
  readonly steps: number;
  readonly guidanceScale: number;
  readonly seed: bigint;
  readonly rng: "cpu" | "cuda";
  /** Seed of each picture. */
  readonly seeds: readonly bigint[];
  readonly shortcuts: Shortcuts;
  readonly tiling: TilingSettings;
}

/** A random seed that a person can type: up to 2^32. */
function randomSeed(): bigint {
  return BigInt(crypto.getRandomValues(new Uint32Array(1))[0]!);
}

/** Fills in the defaults and checks what can be checked. Throws "bad-argument", or "aborted" at once. */
export function settle(
  request: GenerationRequest,
  size: { readonly width: number; readonly height: number },
  { factor, defaults, unet }: Pick<DiffusionModel, "factor" | "defaults" | "unet">,
): Settings {
  throwIfAborted(request.signal);
  const { batchSize = 1, rng = "cpu" } = request;
  const { steps = defaults.steps, guidanceScale = defaults.guidanceScale } = request;
  const width = request.width ?? size.width;
  const height = request.height ?? size.height;
  checkSide("width", width, factor);
  checkSide("height", height, factor);
  check(
    Number.isInteger(batchSize) && batchSize >= 1 && batchSize <= MAX_BATCH,
    "bad-argument",
    `batch size: expected a whole number from 1 to ${MAX_BATCH}, got ${batchSize}.`,
  );
  check(
    Number.isFinite(guidanceScale),
    "bad-argument",
    `guidance scale: expected a number, got ${guidanceScale}.`,
  );
  const each = typeof request.prompt === "string" ? [request.prompt] : request.prompt;
  check(each.length > 0, "bad-argument", "prompt: expected at least one.");
  const prompts = repeat(each, batchSize);
  const seed = request.seed === undefined ? randomSeed() : wholeSeed(request.seed, prompts.length);
  return {
    prompts,
    negativePrompts: negatives(request.negativePrompt ?? "", each.length, batchSize),
    width,
    height,
    steps,
    guidanceScale,
    seed,
    rng,
    seeds: prompts.map((_, k) => seed + BigInt(k)),
    shortcuts: settleShortcuts(request, unet, [height / factor, width / factor]),
    tiling: settleTiling(request.tiling, factor),
  };
}

/** More pictures at once than any machine holds. */
const MAX_BATCH = 4096;

/** No model makes larger pictures, and no machine holds them. */
const MAX_SIDE = 16384;

function checkSide(name: string, size: number, factor: number): void {
  check(
    !(size > MAX_SIDE),
    "bad-argument",
    `${name}: expected at most ${MAX_SIDE} pixels, got ${size}.`,
  );
  check(
    Number.isInteger(size) && size >= factor && size % factor === 0,
    "bad-argument",
    `${name}: expected a multiple of ${factor}, got ${size}. ` +
      `Try ${Math.max(factor, Math.round((Number.isFinite(size) ? size : factor) / factor) * factor)}.`,
  );
}

/** The seed of the first of `count` pictures. */
function wholeSeed(seed: number | bigint, count: number): bigint {
  check(
    typeof seed === "bigint" || Number.isSafeInteger(seed),
    "bad-argument",
    `seed: expected a whole number, got ${seed}. Above 2^53 pass a BigInt.`,
  );
  const first = BigInt(seed);
  check(
    first >= -(2n ** 63n) && first + BigInt(count) <= 2n ** 64n,
    "bad-argument",
    `seed: expected a number from -2^63 to 2^64 - ${count}, got ${seed}.`,
  );
  return first;
}

const repeat = (each: readonly string[], times: number): string[] =>
  each.flatMap((prompt) => Array<string>(times).fill(prompt));

function negatives(given: string | readonly string[], count: number, times: number): string[] {
  const each = typeof given === "string" ? Array<string>(count).fill(given) : given;
  check(
    each.length === count,
    "bad-argument",
    `negative prompt: expected one${count === 1 ? "" : `, or one for each of the ${count} prompts`}, got ${each.length}.`,
  );
  return repeat(each, times);
}

/** Throws "bad-argument" for an inpainting checkpoint, which must be shown a picture and a mask. */
export function requireNoMask({ name, unet, vae }: DiffusionModel): void {
  check(
    unet.inChannels === vae.latentChannels,
    "bad-argument",
    `${name} is an inpainting model: it needs a picture and a mask. Use inpaint().`,
  );
}

/** The sizes that memory depends on. */
export function runSize({ width, height, prompts, guidanceScale }: Settings): RunSize {
  return { width, height, batch: prompts.length, guided: guidanceScale > 1 };
}

/** One source of noise per picture. */
export function noiseSources({ seeds, rng }: Settings): NoiseSource[] {
  return seeds.map((seed) => (rng === "cuda" ? cudaNoise(seed) : torchCpuNoise(seed)));
}

/** Shape of the latents of a whole batch. */
export function latentShape(
  model: Pick<DiffusionModel, "vae" | "factor">,
  { prompts, width, height }: Settings,
): readonly [number, number, number, number] {
  const { factor, vae } = model;
  return [prompts.length, vae.latentChannels, height / factor, width / factor];
}
