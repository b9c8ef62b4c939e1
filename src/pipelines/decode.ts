import { type Picture, tensorToPictures } from "../image/picture.js";
import { divide, sliceBatch } from "../tensor/elementwise.js";
import type { Tensor } from "../tensor/tensor.js";
import { TintypeError, throwIfAborted } from "../util/errors.js";
import type { DiffusionModel } from "./model.js";
import { PART_TITLES, type Part } from "./parts.js";
import { type GenerationRequest, runSize, type Settings } from "./request.js";
import type { TiledRun } from "./tiledVae.js";
import type { TiledPart } from "./tileGraphs.js";
import { DEFAULT_TILES, needsTiles, type Tiles, type TilingSettings } from "./tiling.js";

/*
 * Pictures and latents, one at a time so that memory does not grow, whole or in tiles.
 */

/** How pictures of a run pass the autoencoder. */
export interface Passage extends Pick<GenerationRequest, "signal" | "onTile" | "onNotice"> {
  readonly tiling: TilingSettings;
  /** What memory asks for; undefined: whole. */
  readonly tiles: Tiles | undefined;
}

/** Decides how pictures of a run pass the autoencoder, and says so where it is by need in tiles. */
export function passageOf(
  model: DiffusionModel,
  settings: Settings,
  parts: readonly Part[],
  { signal, onTile, onNotice }: GenerationRequest,
): Passage {
  const { tiling, width, height } = settings;
  const tiles = model.checkMemory(runSize(settings), parts, settings);
  if (tiles && tiling.when === "auto") {
    onNotice?.(
      `${width}x${height} does not fit in memory whole: the autoencoder works in tiles of ` +
        `${tiles.tile} pixels.`,
    );
  }
  return { tiling, tiles, signal, onTile, onNotice };
}

/** Latents as the UNet has them [B,4,h,w] -> pictures, and the tiles in which they were made, if any. */
export async function decode(
  model: DiffusionModel,
  latents: Tensor,
  passage: Passage,
): Promise<{ readonly pictures: readonly Picture[]; readonly tiles: Tiles | undefined }> {
  const [count, , h, w] = latents.shape as readonly [number, number, number, number];
  const size = { width: w * model.factor, height: h * model.factor };
  const { pass, tiles } = passing("decoder", size, passage);
  const pictures: Picture[] = [];
  for (let k = 0; k < count; k++) {
    throwIfAborted(passage.signal);
    const one = divide(sliceBatch(latents, k, 1), model.vae.scalingFactor);
    pictures.push(...tensorToPictures(await pass((tiled) => model.decodeLatents(one, tiled))));
  }
  return { pictures, tiles: tiles() };
}

/** image [1,3,H,W] in [-1,1] -> mean and logvar [1,8,h,w] */
export async function encode(
  model: DiffusionModel,
  image: Tensor,
  passage: Passage,
): Promise<Tensor> {
  const size = { width: image.shape[3]!, height: image.shape[2]! };
  const { pass } = passing("encoder", size, passage);
  return await pass((tiled) => model.encodeImage(image, tiled));
}

/** Tiles that fit where those of a request that names none do not: on GPUs with small buffers. */
const SMALL_TILES: Tiles = { tile: 256, overlap: DEFAULT_TILES.overlap };

/**
 * Runs a part as memory asks for. Where "auto" took pictures whole and the device then refuses them, they
 * are tried in tiles, and so are all that follow.
 */
function passing(
  part: TiledPart,
  size: { readonly width: number; readonly height: number },
  { tiling, tiles, signal, onTile, onNotice }: Passage,
): {
  readonly pass: (act: (tiled?: TiledRun) => Promise<Tensor>) => Promise<Tensor>;
  readonly tiles: () => Tiles | undefined;
} {
  const smaller = [DEFAULT_TILES, SMALL_TILES].filter((t) => needsTiles(size, t));
  const choices = [tiles, ...(tiling.when === "auto" && !tiles ? smaller : [])];
  const told = (done: number, count: number): void => onTile?.({ part, done, count });
  const pass = async (act: (tiled?: TiledRun) => Promise<Tensor>): Promise<Tensor> => {
    for (;;) {
      const [choice, next] = choices;
      try {
        return await act(choice && { ...choice, signal, onTile: told });
      } catch (error) {
        const isMemory = error instanceof TintypeError && error.code === "out-of-memory";
        if (!isMemory || next === undefined) throw error;
        choices.shift();
        onNotice?.(
          `the ${PART_TITLES[part]} works in tiles of ${next.tile} pixels, since more do not fit.`,
        );
      }
    }
  };
  return { pass, tiles: () => choices[0] };
}
