import { invariant } from "../util/errors.js";
import { type Picture, picture } from "./picture.js";

/** Where a part of `part` pixels begins on an axis of `whole`: at 0 for share 0, at the end for 1. */
export function partOffset(whole: number, part: number, share: number): number {
  return Math.min(Math.floor(share * (whole - part + 1)), whole - part);
}

/** The part of a picture with these pixels; it must lie inside. */
export function cut(
  { width: whole, height: rows, data }: Picture,
  [left, top]: readonly [left: number, top: number],
  [width, height]: readonly [width: number, height: number],
): Picture {
  invariant(
    left >= 0 && top >= 0 && left + width <= whole && top + height <= rows,
    `cut: ${width}x${height} at ${left},${top} is not inside ${whole}x${rows}`,
  );
  const out = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * whole + left) * 3;
    out.set(data.subarray(from, from + width * 3), y * width * 3);
  }
  return picture(width, height, out);
}

/** The picture with left and right exchanged. */
export function mirrored({ width, height, data }: Picture): Picture {
  const out = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = (y * width + width - 1 - x) * 3;
      for (let c = 0; c < 3; c++) out[(y * width + x) * 3 + c] = data[from + c]!;
    }
  }
  return picture(width, height, out);
}
