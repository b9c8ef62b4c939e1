import { type Picture, pictureFromRgba } from "../../image/picture.js";

/** The part of `CanvasRenderingContext2D` that plots and grids are drawn with. */
export type Context2D = Pick<
  CanvasRenderingContext2D,
  | "fillStyle"
  | "strokeStyle"
  | "lineWidth"
  | "lineJoin"
  | "font"
  | "textAlign"
  | "textBaseline"
  | "fillRect"
  | "fillText"
  | "measureText"
  | "beginPath"
  | "moveTo"
  | "lineTo"
  | "stroke"
> & {
  /** RGBA, row by row. */
  getImageData(
    x: number,
    y: number,
    width: number,
    height: number,
  ): { readonly data: Uint8ClampedArray };
};

/** Makes a canvas of this size in pixels. */
export type MakeCanvas = (width: number, height: number) => Context2D;

/** What is on a canvas that is opaque everywhere. */
export function pictureOf(context: Context2D, width: number, height: number): Picture {
  return pictureFromRgba(width, height, context.getImageData(0, 0, width, height).data);
}

/** Copies a picture into another, its corner at (x, y); it must fit. */
export function paste(into: Picture, { width, height, data }: Picture, x: number, y: number): void {
  for (let row = 0; row < height; row++) {
    const line = data.subarray(3 * row * width, 3 * (row + 1) * width);
    into.data.set(line, 3 * ((y + row) * into.width + x));
  }
}
