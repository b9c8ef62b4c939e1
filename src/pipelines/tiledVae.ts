import { type VaeConfig, vaeFeatures } from "../models/vae/config.js";
import { type Tensor, zeros } from "../tensor/tensor.js";
import {
  addTile,
  crop,
  featherWeights,
  scaleGrid,
  type TileGrid,
  tileGrid,
} from "../tensor/tiles.js";
import { throwIfAborted } from "../util/errors.js";
import { PATCHES, patchCount, type TileProgram } from "./tileGraphs.js";
import { sampleOf } from "./tileSample.js";
import type { Tiles } from "./tiling.js";

/*
 * An autoencoder in tiles. Next to the latents it works on the whole picture, which is small there;
 * next to the pixels on tiles. These see as far beyond their edges as convolutions look, and are
 * normalised by statistics of the whole picture, estimated on a sample of it: so tiles agree wherever
 * they overlap, and there are no seams to hide. Feathering is for overlaps that are shorter than that.
 */

type Named = Readonly<Record<string, Tensor>>;

/** Runs the programs of an encoder or a decoder in tiles. */
export interface TilePrograms {
  run(program: TileProgram, inputs: Named): Promise<Named>;
  release(program: TileProgram): Promise<void>;
}

/** How one picture is taken through the autoencoder. */
export interface TiledRun extends Tiles {
  /** Stops before the next tile. */
  readonly signal?: AbortSignal | undefined;
  /** Told after each tile. */
  readonly onTile?: ((done: number, count: number) => void) | undefined;
}

/** latents [1,C,h,w] -> image [1,3,f*h,f*w] */
export async function decodeInTiles(
  programs: TilePrograms,
  config: VaeConfig,
  latents: Tensor,
  run: TiledRun,
): Promise<Tensor> {
  const { factor } = vaeFeatures(config);
  throwIfAborted(run.signal);
  const { features } = await programs.run("coarse", { latents });
  await programs.release("coarse"); // its memory is wanted for the tiles
  const statistics = await measure(programs, "features", features!, 1, run, factor);
  throwIfAborted(run.signal);
  const tile = async (piece: Tensor): Promise<Tensor> =>
    (await programs.run("fine", { features: piece, ...statistics })).image!;
  return await inTiles(features!, config, { from: 1, to: factor }, run, tile);
}

/** image [1,3,H,W] -> mean and logvar [1,2C,h,w] */
export async function encodeInTiles(
  programs: TilePrograms,
  config: VaeConfig,
  image: Tensor,
  run: TiledRun,
): Promise<Tensor> {
  const { factor } = vaeFeatures(config);
  throwIfAborted(run.signal);
  const statistics = await measure(programs, "image", image, factor, run, factor);
  throwIfAborted(run.signal);
  const tile = async (piece: Tensor): Promise<Tensor> =>
    (await programs.run("fine", { image: piece, ...statistics })).features!;
  const features = await inTiles(image, config, { from: factor, to: 1 }, run, tile);
  await programs.release("fine");
  return (await programs.run("coarse", { features })).moments!;
}

/** What group norms of the whole picture would measure, by a sample as large as a tile. */
async function measure(
  programs: TilePrograms,
  name: string,
  x: Tensor,
  scale: number,
  { tile }: Tiles,
  factor: number,
): Promise<Named> {
  const count = patchCount(tile / factor);
  const [side, margin] = [PATCHES.side * scale, PATCHES.margin * scale];
  const { patches, shares } = sampleOf(x, { count, side, margin });
  const statistics = await programs.run("statistics", { [name]: patches, shares });
  await programs.release("statistics");
  return statistics;
}

/** Places of what goes in and comes out, along one side, for each feature. */
interface Scales {
  readonly from: number;
  readonly to: number;
}

/** x [1,C,from*h,from*w] piece by piece -> [1,D,to*h,to*w] */
async function inTiles(
  x: Tensor,
  config: VaeConfig,
  { from, to }: Scales,
  { tile, overlap, signal, onTile }: TiledRun,
  act: (piece: Tensor) => Promise<Tensor>,
): Promise<Tensor> {
  const { factor, reach } = vaeFeatures(config);
  const [h, w] = [x.shape[2]! / from, x.shape[3]! / from];
  const grid = tileGrid(h, w, tile / factor, overlap / factor);
  const input = scaleGrid(grid, from);
  const output = feathered(scaleGrid(grid, to), Math.ceil((reach * to) / factor));
  const count = grid.tops.length * grid.lefts.length;
  let whole: Tensor | undefined;
  let done = 0;
  for (const [i, top] of input.tops.entries()) {
    for (const [j, left] of input.lefts.entries()) {
      throwIfAborted(signal);
      const piece = await act(crop(x, { ...input, top, left }));
      whole ??= zeros([1, piece.shape[1]!, h * to, w * to]);
      const at = { top: output.tops[i]!, left: output.lefts[j]! };
      addTile(whole, piece, at, { rows: output.rows[i]!, columns: output.columns[j]! });
      onTile?.(++done, count);
    }
  }
  return whole!;
}

/** A grid with what each tile's rows and columns count for. */
function feathered(grid: TileGrid, margin: number) {
  const { tops, lefts, height, width } = grid;
  return {
    ...grid,
    rows: featherWeights(tops, height, margin),
    columns: featherWeights(lefts, width, margin),
  };
}
