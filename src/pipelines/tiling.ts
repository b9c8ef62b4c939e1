import { check } from "../util/errors.js";

/** How large tiles are, and how far each overlaps the next, in pixels of the picture. */
export interface Tiles {
  readonly tile: number;
  readonly overlap: number;
}

/**
 * Whether pictures pass the autoencoder in tiles: "auto" where the whole would not fit in memory, true
 * for every picture that is larger than a tile, or such tiles as are named.
 */
export type Tiling = "auto" | boolean | Partial<Tiles>;

/** Tiles of a request that names none. With less overlap, tiles of SD's autoencoder would differ. */
export const DEFAULT_TILES: Tiles = { tile: 512, overlap: 64 };

const MIN_TILE = 64;

/** The tiles that a request asks for or allows, if any. Throws "bad-argument" for what cannot be. */
export function settleTiles(tiling: Tiling, factor: number): Tiles | undefined {
  if (tiling === false) return undefined;
  const { tile, overlap } =
    typeof tiling === "object" ? { ...DEFAULT_TILES, ...tiling } : DEFAULT_TILES;
  const isMultiple = (n: number): boolean => Number.isInteger(n) && n % factor === 0;
  check(
    isMultiple(tile) && tile >= MIN_TILE,
    "bad-argument",
    `tile: expected a multiple of ${factor} from ${MIN_TILE} pixels on, got ${tile}.`,
  );
  check(
    isMultiple(overlap) && overlap >= 0 && overlap <= tile / 2,
    "bad-argument",
    `overlap of tiles: expected a multiple of ${factor} up to half a tile (${tile / 2}), got ${overlap}.`,
  );
  return { tile, overlap };
}

/** Whether a picture of this size is more than one tile. */
export function needsTiles(
  { width, height }: { readonly width: number; readonly height: number },
  { tile }: Tiles,
): boolean {
  return width > tile || height > tile;
}
