import type { Context2D } from "./canvas.js";
import { css, type Rgb } from "./colour.js";

/** A colour with its opacity at an offset in [0, 1] along a gradient. */
export type Stop = readonly [offset: number, colour: Rgb, alpha?: number];

const TURN: number = 2 * Math.PI;

/** A gradient from one point to another. */
export function linear(
  c: Context2D,
  from: readonly [number, number],
  to: readonly [number, number],
  ...stops: readonly Stop[]
): object {
  const gradient = c.createLinearGradient(from[0], from[1], to[0], to[1]);
  for (const [offset, colour, alpha] of stops) gradient.addColorStop(offset, css(colour, alpha));
  return gradient;
}

/** Fills a polygon. */
export function polygon(
  c: Context2D,
  fill: string | object,
  ...points: readonly (readonly [x: number, y: number])[]
): void {
  c.beginPath();
  for (const [x, y] of points) c.lineTo(x, y);
  c.closePath();
  c.fillStyle = fill;
  c.fill();
}

/** Fills an ellipse. */
export function ellipse(
  c: Context2D,
  x: number,
  y: number,
  rx: number,
  ry: number,
  fill: string | object,
): void {
  c.beginPath();
  c.ellipse(x, y, rx, ry, 0, 0, TURN);
  c.fillStyle = fill;
  c.fill();
}

/** An ellipse that fades towards its edge; `core` of its radius is as opaque as its middle. */
export function softEllipse(
  c: Context2D,
  [x, y, rx, ry]: readonly [number, number, number, number],
  colour: Rgb,
  alpha: number,
  core = 0,
): void {
  const gradient = c.createRadialGradient(0, 0, rx * core, 0, 0, rx);
  // Stops along a bell, so that no edge shows.
  for (const [offset, share] of [
    [0, 1],
    [0.35, 0.78],
    [0.65, 0.34],
    [0.85, 0.09],
    [1, 0],
  ] as const) {
    gradient.addColorStop(offset, css(colour, alpha * share));
  }
  c.save();
  c.translate(x, y);
  c.scale(1, ry / rx);
  c.beginPath();
  c.arc(0, 0, rx, 0, TURN);
  c.fillStyle = gradient;
  c.fill();
  c.restore();
}
