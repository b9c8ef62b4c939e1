import { check } from "../util/errors.js";

/** How large tiles are, and how far each overlaps the next, in pixels of the picture. */
export interface Tiles {
  readonly tile: number;
  readonly overlap: number;
}

/** Tiles as far as they are named. */
export interface TileWish {
  readonly tile?: number | undefined;
  /** 64 by default, or half a tile. */
  readonly overlap?: number | undefined;
}

/**
 * Whether pictures pass the autoencoder in tiles: "auto" where the whole would not fit in memory, true
 * for every picture that is larger than a tile, or such tiles as are named.
 */
export type Tiling = "auto" | boolean | TileWish;

/** Tiles of a request that names none. With less overlap, tiles of SD's autoencoder would differ. */
export const DEFAULT_TILES: Tiles = { tile: 512, overlap: 64 };

const MIN_TILE = 64;

/** What a request says of tiles, with everything decided but whether "auto" takes them. */
export interface TilingSettings {
  readonly tiles: Tiles;
  readonly when: "always" | "never" | "auto";
}

/** Fills in what a request leaves out. Throws "bad-argument" for tiles that cannot be. */
export function settleTiling(tiling: Tiling = "auto", factor: number): TilingSettings {
  if (tiling === "auto") return { tiles: DEFAULT_TILES, when: "auto" };
  if (tiling === false) return { tiles: DEFAULT_TILES, when: "never" };
  const named: TileWish = typeof tiling === "object" ? tiling : {};
  const tile = named.tile ?? DEFAULT_TILES.tile;
  const half = factor * Math.floor(tile / 2 / factor);
  const overlap = named.overlap ?? Math.min(DEFAULT_TILES.overlap, half);
  const isMultiple = (n: number): boolean => Number.isInteger(n) && n % factor === 0;
  check(
    isMultiple(tile) && tile >= MIN_TILE,
    "bad-argument",
    `tile: expected a multiple of ${factor} from ${MIN_TILE} pixels on, got ${tile}.`,
  );
  check(
    isMultiple(overlap) && overlap >= 0 && overlap <= half,
    "bad-argument",
    `overlap of tiles: expected a multiple of ${factor} up to half a tile (${half}), got ${overlap}.`,
  );
  return { tiles: { tile, overlap }, when: "always" };
}

/** Whether a picture of this size is more than one tile. */
export function needsTiles(
  { width, height }: { readonly width: number; readonly height: number },
  { tile }: Tiles,
): boolean {
  return width > tile || height > tile;
}

/** How far a picture is that passes the autoencoder in tiles. */
export interface TileProgress {
  readonly part: "encoder" | "decoder";
  readonly done: number;
  readonly count: number;
}
