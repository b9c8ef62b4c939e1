import type { ModelFiles } from "../checkpoints/index.js";
import { encodeSafetensors, readSafetensors } from "../formats/index.js";
import { vaeFactor } from "../models/vae/config.js";
import type { Platform } from "../platform/types.js";
import { weightsKey } from "../runtime/cache/identity.js";
import type { Engine } from "../runtime/engine.js";
import { readTensor } from "../tensor/convert.js";
import { type CalibrationProgress, calibrate } from "./calibrate.js";
import { quickCalibration } from "./calibrationPlans.js";
import { handover as handoverOf } from "./handover.js";
import {
  INT8_PARTS,
  type Int8Mode,
  type Int8Part,
  type Int8Ranges,
  rangedLayers,
  weightLimit,
} from "./int8.js";

/*
 * Ranges of a model's results, kept in the cache folder and found by the model's weights. They are
 * derived and may be deleted at any time.
 */

type RangePlatform = Pick<Platform, "files" | "hash" | "cacheDir" | "openFile"> &
  Partial<Pick<Platform, "availableMemory">>;

const SUFFIX = ".safetensors";

/** Where the ranges of a model are kept. */
export async function rangesPath(platform: RangePlatform, files: ModelFiles): Promise<string> {
  const weights = [...files.unet.weights.values(), ...files.vae.weights.values()];
  return `${platform.cacheDir}/ranges/${await weightsKey(platform, weights)}${SUFFIX}`;
}

/** The ranges at `path`; undefined where there are none, or none that can be read. */
export async function readRanges(
  platform: RangePlatform,
  path: string,
): Promise<Int8Ranges | undefined> {
  try {
    const { tensors } = await readSafetensors(await platform.openFile(path));
    const ranges: Record<Int8Part, Map<string, Float32Array<ArrayBuffer>>> = {
      unet: new Map(),
      decoder: new Map(),
    };
    for (const [name, stored] of tensors) {
      const part = INT8_PARTS.find((p) => name.startsWith(`${p}/`));
      if (part) ranges[part].set(name.slice(part.length + 1), (await readTensor(stored)).data);
    }
    return ranges;
  } catch {
    return undefined;
  }
}

/** Writes ranges, whole or not at all. Throws "io". */
export async function writeRanges(
  platform: RangePlatform,
  path: string,
  ranges: Int8Ranges,
): Promise<void> {
  const tensors = INT8_PARTS.flatMap((part) =>
    [...ranges[part]].map(
      ([layer, data]) =>
        [
          `${part}/${layer}`,
          { dtype: "f32", shape: [data.length], bytes: new Uint8Array(data.slice().buffer) },
        ] as const,
    ),
  );
  await platform.files.makeFolder(path.slice(0, path.lastIndexOf("/")));
  await platform.files.writeAtomically(path, await encodeSafetensors(new Map(tensors), undefined));
}

/** Whether there is a range of every channel; another version may have kept other layers as they are. */
function areComplete(ranges: Int8Ranges, files: ModelFiles): boolean {
  return INT8_PARTS.every((part) =>
    [...rangedLayers(files, part)].every(([path, channels]) => {
      const range = ranges[part].get(path);
      return range?.length === channels && range.every((x) => x > 0 && Number.isFinite(x));
    }),
  );
}

/** How a model is computed in 8 bits: over ranges that were measured before, or are now and then kept. */
export async function openRanges(
  files: ModelFiles,
  engine: Engine,
  platform: RangePlatform,
  options: {
    readonly lowMemory?: boolean | undefined;
    readonly signal?: AbortSignal | undefined;
    readonly onCalibration?: ((progress: CalibrationProgress) => void) | undefined;
    /** Whether programs are profiled; they are then loaded anew, without those that measured. */
    readonly profile?: string | undefined;
  } = {},
): Promise<Int8Mode> {
  const { lowMemory, signal, onCalibration, profile } = options;
  const path = await rangesPath(platform, files);
  const asked = weightLimit(engine); // its worker finds out while ranges are looked through
  asked.catch(() => {}); // whoever awaits it is told
  const known = await readRanges(platform, path);
  const complete = known && areComplete(known, files) ? known : undefined;
  const limit = await asked;
  if (complete) return { limit, ranges: complete };
  const quick = quickCalibration(files.unet.config.sampleSize * vaeFactor(files.vae.config));
  const handover = profile === undefined ? handoverOf() : undefined;
  const settings = { ...quick, engine, platform, lowMemory, signal };
  const measuring = calibrate(files, settings, { limit, handover });
  for (;;) {
    const { done, value } = await measuring.next();
    if (!done) onCalibration?.(value);
    else {
      await writeRanges(platform, path, value).catch(() => {}); // they will be measured again
      return { limit, ranges: value, handover };
    }
  }
}
