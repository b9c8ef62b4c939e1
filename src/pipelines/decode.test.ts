import { describe, expect, test } from "vitest";
import { tensorToPictures } from "../image/picture.js";
import { SD_VAE } from "../models/vae/config.js";
import { full, type Tensor } from "../tensor/tensor.js";
import { TintypeError } from "../util/errors.js";
import { decode, encode, type Passage, passageOf } from "./decode.js";
import type { DiffusionModel, MemoryOptions } from "./model.js";
import type { Settings } from "./request.js";
import type { TiledRun } from "./tiledVae.js";
import { DEFAULT_TILES, settleTiling, type TileProgress, type Tiling } from "./tiling.js";

/** A model that remembers in what tiles it was asked to work, and refuses any that `fits` does not hold for. */
function fakeModel(fits: (tile: number | undefined) => boolean = () => true) {
  const asked: (number | undefined)[] = [];
  const checked: MemoryOptions[] = [];
  const answer = (shape: readonly number[], tiled: TiledRun | undefined): Tensor => {
    asked.push(tiled?.tile);
    tiled?.onTile?.(1, 9);
    if (!fits(tiled?.tile)) throw new TintypeError("out-of-memory", "buffers are small here");
    return full(shape, 0);
  };
  const model = {
    factor: 8,
    vae: SD_VAE,
    checkMemory(_: unknown, __: unknown, how: MemoryOptions) {
      checked.push(how);
      return fits(undefined) ? undefined : DEFAULT_TILES;
    },
    async encodeImage({ shape }: Tensor, tiled?: TiledRun) {
      return answer([1, 8, shape[2]! / 8, shape[3]! / 8], tiled);
    },
    async decodeLatents({ shape }: Tensor, tiled?: TiledRun) {
      return answer([1, 3, shape[2]! * 8, shape[3]! * 8], tiled);
    },
  };
  return { model: model as unknown as DiffusionModel, asked, checked };
}

const passage = (tiling: Tiling, more: Partial<Passage> = {}): Passage => ({
  tiling: settleTiling(tiling, 8),
  tiles: undefined,
  signal: undefined,
  onTile: undefined,
  onNotice: undefined,
  ...more,
});
const latents = (batch: number, side = 80): Tensor => full([batch, 4, side, side], 0.5);

describe("pictures of a batch", () => {
  test("are decoded one at a time, whole", async () => {
    const { model, asked } = fakeModel();
    const { pictures, tiles } = await decode(model, latents(3, 2), passage("auto"));
    expect(pictures).toEqual(Array(3).fill(tensorToPictures(full([1, 3, 16, 16], 0))[0]));
    expect([asked, tiles]).toEqual([[undefined, undefined, undefined], undefined]);
  });

  test("are decoded in the tiles that are given, and each is told of", async () => {
    const { model, asked } = fakeModel();
    const told: TileProgress[] = [];
    const given = passage(true, { tiles: DEFAULT_TILES, onTile: (at) => told.push(at) });
    const { tiles } = await decode(model, latents(2), given);
    expect([asked, tiles]).toEqual([[512, 512], DEFAULT_TILES]);
    expect(told).toEqual(Array(2).fill({ part: "decoder", done: 1, count: 9 }));
    await encode(model, full([1, 3, 640, 640], 0), given);
    expect(told[2]).toEqual({ part: "encoder", done: 1, count: 9 });
  });

  test("are not begun after an abort", async () => {
    const { model, asked } = fakeModel();
    const signal = AbortSignal.abort("no");
    await expect(decode(model, latents(1), passage("auto", { signal }))).rejects.toMatchObject({
      code: "aborted",
    });
    expect(asked).toEqual([]);
  });
});

describe("where the device refuses a whole picture", () => {
  const onlyTiles = (tile: number | undefined): boolean => tile === 256;

  test("auto goes on in tiles, smaller ones if need be, and stays with them", async () => {
    const { model, asked } = fakeModel(onlyTiles);
    const notices: string[] = [];
    const run = passage("auto", { onNotice: (message) => notices.push(message) });
    const { pictures, tiles } = await decode(model, latents(2), run);
    expect(pictures).toHaveLength(2);
    expect(asked).toEqual([undefined, 512, 256, 256]);
    expect(tiles).toEqual({ tile: 256, overlap: 64 });
    expect(notices).toEqual([
      "the VAE decoder works in tiles of 512 pixels, since more do not fit.",
      "the VAE decoder works in tiles of 256 pixels, since more do not fit.",
    ]);
  });

  test("pictures of one tile are tried in smaller ones only", async () => {
    const { model, asked } = fakeModel(onlyTiles);
    await decode(model, latents(1, 64), passage("auto"));
    expect(asked).toEqual([undefined, 256]);
    const small = fakeModel(onlyTiles);
    await expect(decode(small.model, latents(1, 32), passage("auto"))).rejects.toThrow(/small/);
    expect(small.asked).toEqual([undefined]);
  });

  test.each([[false], [true], [{ tile: 128 }]])("%j is left as it is", async (tiling) => {
    const { model, asked } = fakeModel(onlyTiles);
    await expect(decode(model, latents(1), passage(tiling))).rejects.toMatchObject({
      code: "out-of-memory",
    });
    expect(asked).toHaveLength(1);
  });

  test("other errors come through at once", async () => {
    const { model } = fakeModel();
    const broken = { ...model, decodeLatents: () => Promise.reject(new Error("broke")) };
    await expect(decode(broken, latents(1), passage("auto"))).rejects.toThrow("broke");
  });
});

describe("a run's passage", () => {
  const settings = (tiling: Tiling): Settings =>
    ({
      width: 2048,
      height: 1024,
      prompts: ["a"],
      guidanceScale: 1,
      tiling: settleTiling(tiling, 8),
    }) as unknown as Settings;

  test("is what memory asks for, and auto says so", () => {
    const notices: string[] = [];
    const onNotice = (message: string): void => void notices.push(message);
    const { model, checked } = fakeModel((tile) => tile !== undefined);
    const request = { prompt: "a", onNotice };
    const found = passageOf(model, settings("auto"), ["decoder"], request);
    expect(found.tiles).toEqual(DEFAULT_TILES);
    expect(checked[0]!.tiling).toEqual({ when: "auto", tiles: DEFAULT_TILES });
    expect(notices).toEqual([
      "2048x1024 does not fit in memory whole: the autoencoder works in tiles of 512 pixels.",
    ]);
    passageOf(model, settings(true), ["decoder"], request);
    expect(notices).toHaveLength(1);
    expect(passageOf(fakeModel().model, settings("auto"), [], request).tiles).toBeUndefined();
  });
});
