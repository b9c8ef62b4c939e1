import { createCanvas, type SKRSContext2D } from "@napi-rs/canvas";

/** The 2D context of a new canvas of this size in pixels, transparent black. */
export function canvasContext(width: number, height: number): SKRSContext2D {
  return createCanvas(width, height).getContext("2d");
}
