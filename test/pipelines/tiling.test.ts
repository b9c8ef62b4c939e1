import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadModelFiles, type ModelFiles } from "../../src/checkpoints/index.js";
import { readTensorFile, type TensorFile } from "../../src/formats/index.js";
import { vaeFeatures } from "../../src/models/vae/config.js";
import { type DiffusionModel, nodePlatform, openModel, TintypeError } from "../../src/node.js";
import {
  decodeInTiles,
  encodeInTiles,
  type TiledRun,
  type TilePrograms,
} from "../../src/pipelines/tiledVae.js";
import { PATCHES, patchCount, type TiledPart, tileGraph } from "../../src/pipelines/tileGraphs.js";
import type { Engine } from "../../src/runtime/engine.js";
import { nodeEngine } from "../../src/runtime/node/engine.js";
import { readTensor } from "../../src/tensor/convert.js";
import { type Tensor, tensor } from "../../src/tensor/tensor.js";
import { crop } from "../../src/tensor/tiles.js";
import { relativeError } from "../engine/run.js";

/*
 * The autoencoder in tiles on the engine, against itself on whole pictures, and beside diffusers' tiles
 * (scripts/golden/tiling.py).
 */

const GOLDEN = new URL("../golden/", import.meta.url).pathname;
const platform = nodePlatform();
const engine = nodeEngine({ platform, device: "cpu", threads: 1, cacheLimit: 0 });

/** The fixture's picture, and how far diffusers' tiles are from it. */
interface Fixture {
  readonly latents: Tensor;
  readonly whole: Tensor;
  readonly moments: Tensor;
  readonly tiles: { readonly tile: number; readonly overlap: number };
  readonly decode: Distance;
  readonly encode: Distance;
}

interface Distance {
  readonly rms: number;
  readonly max: number;
  readonly tone: number;
}

let files: ModelFiles;
let fixture: Fixture;
let model: DiffusionModel;
const events: string[] = [];

beforeAll(async () => {
  files = await loadModelFiles(await platform.openFolder(`${GOLDEN}models/tiny-sd1`), {});
  const file = await readTensorFile(await platform.openFile(`${GOLDEN}tiling/tiling.safetensors`));
  const [latents, whole, moments] = await Promise.all(
    ["latents", "whole", "moments"].map((name) => readTensor(file.tensors.get(name)!)),
  );
  const told = (key: string): unknown => JSON.parse(metadataOf(file)[key]!);
  fixture = {
    latents: latents!,
    whole: whole!,
    moments: moments!,
    tiles: told("tiles") as Fixture["tiles"],
    decode: told("decode") as Distance,
    encode: told("encode") as Distance,
  };
  model = await openModel(files, { engine: watched(engine) });
});
afterAll(() => engine[Symbol.asyncDispose]());

const metadataOf = ({ metadata }: TensorFile): Readonly<Record<string, string>> => metadata;

/** Notes what is loaded and freed. */
function watched(engine: Engine): Engine {
  return {
    ...engine,
    async load(graph, weights, options) {
      const label = options.label.replace(/ of .*/, "");
      events.push(`load ${label}`);
      const program = await engine.load(graph, weights, options);
      return {
        run: (inputs) => program.run(inputs),
        async [Symbol.asyncDispose]() {
          events.push(`free ${label}`);
          await program[Symbol.asyncDispose]();
        },
      };
    },
  };
}

function distance(got: Tensor, want: Tensor, cell: number): Distance {
  expect(got.shape).toEqual(want.shape);
  const off = got.data.map((v, i) => v - want.data[i]!);
  const [, c, h, w] = got.shape as [number, number, number, number];
  let tone = 0;
  for (let k = 0; k < c; k++) {
    for (let y = 0; y + cell <= h; y += cell) {
      for (let x = 0; x + cell <= w; x += cell) {
        const box = { top: k * h + y, left: x, height: cell, width: cell };
        const { data } = crop(tensor([1, 1, c * h, w], off), box);
        tone = Math.max(tone, Math.abs(data.reduce((n, v) => n + v, 0) / cell ** 2));
      }
    }
  }
  const max = off.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  return { rms: relativeError(got.data, want.data), max, tone };
}

/** Mean alone of mean and logvar. */
const means = ({ shape, data }: Tensor): Tensor =>
  tensor([1, shape[1]! / 2, ...shape.slice(2)], data.slice(0, data.length / 2));

describe("whole pictures", () => {
  test("decode and encode as diffusers has them", async () => {
    const { latents, whole, moments } = fixture;
    expect(relativeError((await model.decodeLatents(latents)).data, whole.data)).toBeLessThan(1e-4);
    expect(relativeError((await model.encodeImage(whole)).data, moments.data)).toBeLessThan(1e-4);
  });
});

describe("tiles of the same size and overlap as diffusers'", () => {
  const nearer = (ours: Distance, theirs: Distance): void => {
    expect(ours.rms).toBeLessThan(theirs.rms / 4);
    expect(ours.max).toBeLessThan(theirs.max / 4);
    expect(ours.tone).toBeLessThan(theirs.tone / 4);
  };

  test("decode a picture that is nearer to the whole", async () => {
    const { latents, whole, tiles, decode } = fixture;
    nearer(distance(await model.decodeLatents(latents, tiles), whole, 32), decode);
  });

  test("encode latents that are nearer to the whole's", async () => {
    const { whole, moments, tiles, encode } = fixture;
    const ours = means(await model.encodeImage(whole, tiles));
    nearer(distance(ours, means(moments), 4), encode);
  });
});

/** The programs of one part, and the statistics that the whole picture's norms measure. */
async function exactly(
  part: TiledPart,
  x: Tensor,
  act: (programs: TilePrograms) => Promise<Tensor>,
): Promise<Tensor> {
  const { config, weights } = files.vae;
  const patches = { side: 0, margin: 0 };
  const name = part === "decoder" ? "features" : "image";
  const square = {
    ...patches,
    side: x.shape[2]! / (part === "decoder" ? 1 : vaeFeatures(config).factor),
  };
  const load = (graph: Parameters<Engine["load"]>[0]) =>
    engine.load(graph, weights, { label: part });
  const whole = await load(tileGraph(part, "statistics", config, undefined, square));
  const one = tensor([1], Float32Array.of(1));
  const statistics = await whole.run({ [name]: x, shares: one });
  await whole[Symbol.asyncDispose]();
  return await act({
    async run(program, inputs) {
      if (program === "statistics") return statistics;
      const loaded = await load(tileGraph(part, program, config));
      const answer = await loaded.run(inputs);
      await loaded[Symbol.asyncDispose]();
      return answer;
    },
    release: async () => {},
  });
}

/** The middle of the fixture, a square. */
const square = (x: Tensor, side: number): Tensor =>
  crop(x, { top: 0, left: 0, height: side, width: side });

describe("tiles that know the whole picture's statistics, and overlap by twice what is looked at", () => {
  const SIDE = 28;
  const tiles = { tile: 128, overlap: 48 };

  test("give the same picture, to rounding", async () => {
    const { config, weights } = files.vae;
    expect(tiles.overlap).toBeGreaterThanOrEqual(2 * vaeFeatures(config).reach);
    const latents = square(fixture.latents, SIDE);
    const coarse = await engine.load(tileGraph("decoder", "coarse", config), weights, {
      label: "coarse",
    });
    const { features } = await coarse.run({ latents });
    const tiled = await exactly("decoder", features!, (programs) =>
      decodeInTiles(programs, config, latents, tiles),
    );
    expect(relativeError(tiled.data, (await model.decodeLatents(latents)).data)).toBeLessThan(1e-5);
    const shorter = await exactly("decoder", features!, (programs) =>
      decodeInTiles(programs, config, latents, { ...tiles, overlap: 16 }),
    );
    const off = relativeError(shorter.data, (await model.decodeLatents(latents)).data);
    expect(off).toBeGreaterThan(1e-4); // the edges of tiles show
  });

  test("give the same moments, to rounding", async () => {
    const image = square(fixture.whole, 8 * SIDE);
    const tiled = await exactly("encoder", image, (programs) =>
      encodeInTiles(programs, files.vae.config, image, tiles),
    );
    expect(relativeError(tiled.data, (await model.encodeImage(image)).data)).toBeLessThan(1e-5);
  });
});

describe("in tiles", () => {
  test.each([
    [1, 1, 1],
    [2, 33, 5],
    [17, 5, 3],
    [19, 21, 9],
  ])("%i x %i latents decode and encode, %i tiles each", async (h, w, count) => {
    const seen: number[] = [];
    const run: TiledRun = { tile: 64, overlap: 0, onTile: (done, all) => seen.push(done, all) };
    const z = crop(fixture.latents, { top: 0, left: 0, height: h, width: w });
    const picture = await model.decodeLatents(z, run);
    expect(picture.shape).toEqual([1, 3, 8 * h, 8 * w]);
    const wanted = Array.from({ length: count }, (_, i) => [i + 1, count]).flat();
    expect(seen.splice(0)).toEqual(wanted);
    const moments = await model.encodeImage(picture, run);
    expect(moments.shape).toEqual([1, 8, h, w]);
    expect(seen).toEqual(wanted);
    expect([...picture.data, ...moments.data].every(Number.isFinite)).toBe(true);
  });

  test("each program is freed before the next needs its memory, and none of the whole is left", async () => {
    await model.decodeLatents(fixture.latents);
    events.length = 0;
    await model.decodeLatents(fixture.latents, fixture.tiles);
    const of = (name: string): string => `VAE decoder (${name})`;
    expect(events).toEqual([
      "free VAE decoder",
      `load ${of("coarse")}`,
      `free ${of("coarse")}`,
      `load ${of("statistics")}`,
      `free ${of("statistics")}`,
      `load ${of("fine")}`,
    ]);
    events.length = 0;
    await model.release("decoder");
    expect(events).toEqual([`free ${of("fine")}`]);
  });

  test("it stops before the next tile once it is aborted, and can go on later", async () => {
    const abort = new AbortController();
    let seen = 0;
    const onTile = (done: number): void => {
      seen = done;
      if (done === 2) abort.abort("enough");
    };
    const run = { ...fixture.tiles, signal: abort.signal, onTile };
    const error = await model.decodeLatents(fixture.latents, run).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(TintypeError);
    expect(error).toMatchObject({ code: "aborted", cause: "enough" });
    expect(seen).toBe(2);
    const picture = await model.decodeLatents(fixture.latents, fixture.tiles);
    expect(picture.shape).toEqual(fixture.whole.shape);
  });
});

test("samples are as large as a tile, but never too small", () => {
  expect(patchCount(16 * PATCHES.side)).toBe(256);
  expect(patchCount(1)).toBe(64);
});
