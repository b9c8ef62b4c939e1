import { mkdtemp, readFile, rm, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { changedModel, MICRO, MODELS } from "../../test/cli/fixtures.js";
import { loadModelFiles, type ModelFiles } from "../checkpoints/index.js";
import { nodePlatform } from "../platform/node/platform.js";
import type { Platform } from "../platform/types.js";
import { type Int8Ranges, rangedLayers } from "./int8.js";
import { rangesPath, readRanges, writeRanges } from "./rangeFiles.js";

let folder: string;
let platform: Platform;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tintype-ranges-"));
  platform = { ...nodePlatform(), cacheDir: join(folder, "cache") };
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const open = async (path: string): Promise<ModelFiles> =>
  await loadModelFiles(await platform.openFolder(path));

/** Ranges of every layer of a model, all different. */
function rangesFor(files: ModelFiles): Int8Ranges {
  let next = 1;
  const of = (part: "unet" | "decoder") =>
    new Map(
      [...rangedLayers(files, part)].map(([path, channels]) => [
        path,
        Float32Array.from({ length: channels }, () => 1 / next++),
      ]),
    );
  return { unet: of("unet"), decoder: of("decoder") };
}

describe("ranges in a file", () => {
  test("are read as they were written", async () => {
    const files = await open(MICRO);
    const ranges = rangesFor(files);
    expect(ranges.unet.size).toBe(50);
    expect(ranges.decoder.size).toBe(31);
    const path = await rangesPath(platform, files);
    expect(path).toMatch(/cache\/ranges\/[0-9a-f]{32}\.safetensors$/);
    expect(await readRanges(platform, path)).toBeUndefined();
    await writeRanges(platform, path, ranges);
    expect(await readRanges(platform, path)).toEqual(ranges);
    const doubled = new Map([...ranges.unet].map(([name, r]) => [name, r.map((x) => 2 * x)]));
    await writeRanges(platform, path, { ...ranges, unet: doubled });
    expect((await readRanges(platform, path))!.unet).toEqual(doubled);
  });

  test("of a part of a larger array are that part", async () => {
    const whole = Float32Array.of(9, 1, 2, 9);
    const path = join(folder, "part", "ranges.safetensors");
    const unet = new Map([["conv", whole.subarray(1, 3)]]);
    await writeRanges(platform, path, { unet, decoder: new Map() });
    expect([...(await readRanges(platform, path))!.unet.get("conv")!]).toEqual([1, 2]);
  });

  test("that are damaged are as if they were not there", async () => {
    const path = join(folder, "damaged.safetensors");
    await writeRanges(platform, path, rangesFor(await open(MICRO)));
    const bytes = await readFile(path);
    await truncate(path, bytes.length - 1);
    expect(await readRanges(platform, path)).toBeUndefined();
    await truncate(path, 20);
    expect(await readRanges(platform, path)).toBeUndefined();
    await writeFile(path, "not ranges at all");
    expect(await readRanges(platform, path)).toBeUndefined();
    await writeFile(path, "");
    expect(await readRanges(platform, path)).toBeUndefined();
    expect(await readRanges(platform, folder)).toBeUndefined();
  });

  test("belong to the weights that they were measured on", async () => {
    const path = async (model: string): Promise<string> =>
      await rangesPath(platform, await open(model));
    const micro = await path(MICRO);
    expect(await path(MICRO)).toBe(micro);
    expect(await path(`${MODELS}/tiny-sd1`)).not.toBe(micro);
    const copy = await changedModel(join(folder, "copy"), () => {});
    const same = await path(copy);
    expect(same).not.toBe(micro); // another file, though of the same numbers
    const weights = join(copy, "vae/diffusion_pytorch_model.safetensors");
    await utimes(weights, new Date(), new Date(2020, 1, 1));
    expect(await path(copy)).not.toBe(same);
  });
});
