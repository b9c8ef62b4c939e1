import { type ModelFiles, requireFinite } from "../checkpoints/index.js";
import { mask, picture } from "../image/picture.js";
import type { Platform } from "../platform/types.js";
import type { Engine } from "../runtime/engine.js";
import { check } from "../util/errors.js";
import type { Handover } from "./handover.js";
import { inpaint } from "./inpaint.js";
import {
  INT8_PARTS,
  type Int8Part,
  type Int8Ranges,
  keepsOf,
  type Peaks,
  rangesOf,
  type WeightLimit,
  weightLimit,
} from "./int8.js";
import { type DiffusionModel, openModel } from "./model.js";
import type { Part } from "./parts.js";
import type { GenerationRequest } from "./request.js";
import type { Generation } from "./run.js";
import { textToImage } from "./textToImage.js";

/** What is drawn to find out how large the results of layers become. */
export interface CalibrationOptions {
  readonly engine: Engine;
  /** Who knows how much memory is free. */
  readonly platform?: Partial<Pick<Platform, "availableMemory">> | undefined;
  /** A picture is drawn for each. */
  readonly prompts: readonly string[];
  /** Steps of each, which spread over the whole schedule. */
  readonly steps: number;
  /** Pixels, multiples of 8; the model's own size by default. */
  readonly width?: number | undefined;
  readonly height?: number | undefined;
  readonly seed?: bigint | undefined;
  /** How much larger than what was seen results may be: 1.1 is a tenth. */
  readonly room: number;
  readonly lowMemory?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What calibrating yields after each step. */
export interface CalibrationProgress {
  /** Steps done of all. */
  readonly done: number;
  readonly total: number;
}

/**
 * Measures how large the results of each layer become while pictures are drawn in 8 bits over ranges that
 * are wide enough. Throws "bad-argument" for no prompts or too little room, "bad-file" for a network whose
 * numbers are not finite, and whatever drawing throws.
 */
export async function* calibrate(
  files: ModelFiles,
  {
    engine,
    platform,
    prompts,
    steps,
    width,
    height,
    room,
    lowMemory = false,
    signal,
    seed = 0n,
  }: CalibrationOptions,
  own: {
    /** What `weightLimit` says, where that is known. */
    readonly limit?: WeightLimit;
    /** Who takes over the programs that measured. */
    readonly handover?: Handover | undefined;
  } = {},
): AsyncGenerator<CalibrationProgress, Int8Ranges, undefined> {
  check(prompts.length > 0, "bad-argument", "calibrate: expected a prompt or more, got none.");
  check(room >= 1, "bad-argument", `calibrate: expected room of 1 or more, got ${room}.`);
  const peaks: Record<Int8Part, Peaks> = { unet: new Map(), decoder: new Map() };
  const { limit = await weightLimit(engine), handover } = own;
  await using model = await openModel(files, {
    engine,
    lowMemory,
    availableMemory: () => platform?.availableMemory?.() ?? Number.POSITIVE_INFINITY,
    int8: { limit, peaks, handover },
  });
  await requireFiniteFloats(files, model.graphs);
  model.prepareDecoder();
  const total = prompts.length * steps;
  for (const [k, prompt] of prompts.entries()) {
    const isLast = k + 1 === prompts.length;
    const freeParts: readonly Part[] = isLast ? ["text", "encoder"] : [];
    const request = { prompt, steps, width, height, signal, freeParts, seed: seed + BigInt(k) };
    for await (const { i, count } of draw(model, request))
      yield { done: k * steps + ((i + 1) / count) * steps, total };
  }
  if (!lowMemory) handover?.open();
  return { unet: rangesOf(peaks.unet, room), decoder: rangesOf(peaks.decoder, room) };
}

/** What is not rounded and so looked at nowhere else: norms, biases, and layers that are kept. */
async function requireFiniteFloats(
  { unet, vae }: ModelFiles,
  graphs: DiffusionModel["graphs"],
): Promise<void> {
  for (const part of INT8_PARTS) {
    const { params } = graphs[part];
    const keeps = keepsOf(part);
    const { weights } = part === "unet" ? unet : vae;
    const floats = [...weights].filter(([name, { shape }]) => {
      const path = name.slice(0, name.lastIndexOf("."));
      return params.has(name) && (shape.length < 2 || keeps(path));
    });
    await requireFinite(new Map(floats));
  }
}

/** A picture; inpainting models are shown colours that run into each other, half of them masked. */
function draw(model: DiffusionModel, request: GenerationRequest): Generation {
  const { unet, vae, nativeSize } = model;
  if (unet.inChannels === vae.latentChannels) return textToImage(model, request);
  const { width = nativeSize, height = nativeSize } = request;
  const area = width * height;
  const colours = Uint8Array.from({ length: 3 * area }, (_, i) => {
    const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
    return 255 * [x / width, y / height, 1 - x / width][i % 3]!;
  });
  const half = Uint8Array.from({ length: area }, (_, i) => (i % width < width / 2 ? 0 : 255));
  const shown = { image: picture(width, height, colours), mask: mask(width, height, half) };
  return inpaint(model, { ...request, ...shown });
}
