import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { psnr } from "../../src/evaluation/pictureQuality.js";
import { type Mask, mask, type Picture, picture } from "../../src/image/picture.js";
import {
  calibrateModel,
  type DiffusionModel,
  findModel,
  finish,
  type GenerationRequest,
  imageToImage,
  inpaint,
  loadModel,
  nodeEngine,
  nodePlatform,
  openModel,
  openRanges,
  type RunOptions,
  rangesPath,
  readRanges,
  textToImage,
  writeRanges,
} from "../../src/node.js";
import type { Platform } from "../../src/platform/types.js";
import { changedModel, MODELS, scratch } from "../cli/fixtures.js";

/*
 * Pictures in 8 bits on the CPU, of models so small that each channel counts for much: real ones come
 * nearer to float32.
 */

const SD1 = `${MODELS}/tiny-sd1`;
const SIDE = 64;

const space = scratch();
const opened: DiffusionModel[] = [];
afterAll(async () => {
  for (const model of opened) await model[Symbol.asyncDispose]();
  await engine[Symbol.asyncDispose]();
  space[Symbol.dispose]();
});

/** This machine, with a cache folder of its own. */
const platformIn = (name: string): Platform => ({
  ...nodePlatform(),
  cacheDir: join(space.path, name),
});

const ONE_THREAD = { device: "cpu", threads: 1, cacheLimit: 0 } as const;

/** What the models of all tests run on: starting an engine takes longer than most of them. */
const engine = nodeEngine({ ...ONE_THREAD, platform: nodePlatform() });

async function inFloat(ref: string): Promise<DiffusionModel> {
  const files = await findModel(ref, { platform: platformIn("float") });
  const model = await openModel(files, { engine });
  opened.push(model);
  return model;
}

/** A model in 8 bits, and in how many steps its ranges were measured. */
async function inInt8(ref: string, platform: Platform, { lowMemory = false } = {}) {
  let measured = 0;
  const onCalibration = (): void => void measured++;
  const files = await findModel(ref, { platform });
  const int8 = await openRanges(files, engine, platform, { lowMemory, onCalibration });
  const model = await openModel(files, { engine, int8, lowMemory });
  opened.push(model);
  return { model, measured };
}

/** The same as a user opens it. */
async function loaded(ref: string, platform: Platform, options: RunOptions = {}) {
  let measured = 0;
  const onCalibration = (): void => void measured++;
  const how: RunOptions = { ...ONE_THREAD, dtype: "int8", onCalibration, ...options };
  const model = await loadModel(ref, { platform, ...how });
  opened.push(model);
  return { model, measured };
}

const REQUEST: GenerationRequest = { prompt: "a red house", steps: 3, seed: 7 };

const rangeFiles = (platform: Platform): string[] =>
  readdirSync(`${platform.cacheDir}/ranges`).map((name) => `${platform.cacheDir}/ranges/${name}`);

/** Colours that run into each other, and the right half to be repainted. */
function shown(): { readonly image: Picture; readonly mask: Mask } {
  const area = SIDE * SIDE;
  const colours = Uint8Array.from({ length: 3 * area }, (_, i) => (85 * i) / area);
  const half = Uint8Array.from({ length: area }, (_, i) => (i % SIDE < SIDE / 2 ? 0 : 255));
  return { image: picture(SIDE, SIDE, colours), mask: mask(SIDE, SIDE, half) };
}

const platform = platformIn("shared");
let float: DiffusionModel;
let int8: DiffusionModel;

/** How near the pictures of a request are to those in float32; the least. */
async function nearness(
  draw: (model: DiffusionModel) => ReturnType<typeof textToImage>,
): Promise<number> {
  const [want, got] = [await finish(draw(float)), await finish(draw(int8))];
  expect(got.pictures.map((p) => p.data)).not.toEqual(want.pictures.map((p) => p.data));
  return Math.min(...got.pictures.map((made, k) => psnr(made, want.pictures[k]!)));
}

test("a model's ranges are measured once, and kept", async () => {
  float = await inFloat(SD1);
  const first = await loaded(SD1, platform);
  expect(first.measured).toBeGreaterThan(0);
  expect(rangeFiles(platform)).toHaveLength(1);
  const second = await inInt8(SD1, platform);
  expect(second.measured).toBe(0);
  int8 = second.model;
  const made = await finish(textToImage(first.model, REQUEST));
  const again = await finish(textToImage(first.model, REQUEST));
  const other = await finish(textToImage(int8, REQUEST));
  expect(again.pictures).toEqual(made.pictures);
  expect(other.pictures).toEqual(made.pictures);
});

test("pictures are nearly those of float32", async () => {
  expect(await nearness((model) => textToImage(model, REQUEST))).toBeGreaterThan(36);
  const other = { ...REQUEST, batchSize: 2, width: 72, height: 48 };
  expect(await nearness((model) => textToImage(model, other))).toBeGreaterThan(33);
});

test("and so are those from a picture, or of a part of one", async () => {
  const { image, mask } = shown();
  const changed = { ...REQUEST, image, strength: 0.7 };
  expect(await nearness((model) => imageToImage(model, changed))).toBeGreaterThan(33);
  const repainted = { ...REQUEST, image, mask };
  expect(await nearness((model) => inpaint(model, repainted))).toBeGreaterThan(33);
});

test("shortcuts are taken in 8 bits too", async () => {
  const quick = { ...REQUEST, steps: 4, deepCache: 2 };
  expect(await nearness((model) => textToImage(model, quick))).toBeGreaterThan(30);
});

test("one part in memory at a time gives the same picture", async () => {
  const { model, measured } = await inInt8(SD1, platform, { lowMemory: true });
  expect(measured).toBe(0);
  const [want, got] = [
    await finish(textToImage(int8, REQUEST)),
    await finish(textToImage(model, REQUEST)),
  ];
  expect(got.pictures).toEqual(want.pictures);
});

test("compiled programs that were kept give the same picture", async () => {
  const [want, ...got] = [
    await finish(textToImage(int8, REQUEST)),
    ...(await Promise.all(
      ["first", "second"].map(async () => {
        const { model } = await loaded(SD1, platform, { cacheLimit: 1 << 30 });
        return await finish(textToImage(model, REQUEST));
      }),
    )),
  ];
  for (const made of got) expect(made.pictures).toEqual(want!.pictures);
});

/** A cache with ranges of the model, changed. */
async function withRanges(name: string, change: (whole: Buffer) => Uint8Array): Promise<Platform> {
  const own = platformIn(name);
  const path = await rangesPath(own, await findModel(SD1, { platform: own }));
  await own.files.makeFolder(dirname(path));
  writeFileSync(path, change(readFileSync(rangeFiles(platform)[0]!)));
  return own;
}

test("ranges that were damaged are measured again", async () => {
  const own = await withRanges("damaged", (whole) => whole.subarray(0, whole.length >> 1));
  expect((await inInt8(SD1, own)).measured).toBeGreaterThan(0);
  const [mended, whole] = [own, platform].map((p) => readFileSync(rangeFiles(p)[0]!));
  expect(mended).toEqual(whole); // the same numbers
});

test("ranges of a version that kept other layers are measured again", async () => {
  const own = await withRanges("older", (whole) => whole);
  const [path] = rangeFiles(own);
  const known = (await readRanges(own, path!))!;
  await writeRanges(own, path!, { ...known, unet: new Map([...known.unet].slice(1)) });
  expect((await inInt8(SD1, own)).measured).toBeGreaterThan(0);
  expect(await readRanges(own, path!)).toEqual(known);
});

test("measuring says when memory does not suffice", async () => {
  const own: Platform = { ...platformIn("crowded"), availableMemory: () => 100e6 };
  await expect(inInt8(SD1, own)).rejects.toMatchObject({
    code: "out-of-memory",
    message: expect.stringMatching(
      /^64x64 would take about 0\.\d GB of memory, and 0\.1 GB are free/,
    ),
  });
});

test("calibrating replaces what was known", async () => {
  const own = await withRanges("calibrated", (whole) => whole);
  const before = readFileSync(rangeFiles(own)[0]!);
  const seen: number[] = [];
  const options = { platform: own, threads: 1, prompts: ["a", "b"], steps: 2, room: 1.5 };
  for await (const { done, total } of calibrateModel(SD1, options)) {
    expect(total).toBe(4);
    seen.push(done);
  }
  expect(seen).toEqual([...seen].sort((a, b) => a - b));
  expect(seen.at(-1)).toBe(4);
  expect(rangeFiles(own)).toHaveLength(1);
  expect(readFileSync(rangeFiles(own)[0]!)).not.toEqual(before);
  expect((await inInt8(SD1, own)).measured).toBe(0);
});

test("an inpainting model is shown a picture while it is measured", async () => {
  const model = `${MODELS}/tiny-inpaint`;
  float = await inFloat(model);
  int8 = (await inInt8(model, platform)).model;
  const repainted = { ...REQUEST, ...shown() };
  expect(await nearness((model) => inpaint(model, repainted))).toBeGreaterThan(30);
});

test("a model whose numbers are not finite is told, and nothing is kept", async () => {
  const own = platformIn("broken");
  const broken = await changedModel(join(space.path, "broken-model"), (tensors) => {
    const name = "down_blocks.0.resnets.0.conv1.weight";
    const { source, offset, length, ...rest } = tensors.get(name)!;
    const bytes = new Uint8Array(length).fill(0xff); // NaN
    const read = (from: number, count: number) => Promise.resolve(bytes.slice(from, from + count));
    const changed = { ...source, size: length, read };
    tensors.set(name, { ...rest, source: changed, offset: 0, length });
  });
  await expect(inInt8(broken, own)).rejects.toMatchObject({
    code: "bad-file",
    message: expect.stringMatching(/^int8: down_blocks.0.resnets.0.conv1.weight .*--dtype fp32/),
  });
  expect(() => rangeFiles(own)).toThrow(/ENOENT/);
});

test("other devices say that they compute in fp32", async () => {
  const notices: string[] = [];
  const [own, dtypes]: [Platform, string[]] = [platformIn("wasm"), []];
  const model = await loadModel(SD1, {
    ...{ platform: own, device: "wasm", dtype: "int8" },
    onNotice: (message) => void notices.push(message),
    onDevice: (_, dtype) => void dtypes.push(dtype),
  });
  opened.push(model);
  expect(notices).toContain("int8 is for the CPU: wasm computes in fp32. Pass --device cpu.");
  expect(dtypes).toEqual(["fp32"]);
});
