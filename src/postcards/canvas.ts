/*
 * What of the 2D canvas the painter uses. The browser's contexts and those of 2D libraries have it.
 */

/** A gradient that stops are added to. */
export interface Gradient {
  addColorStop(offset: number, color: string): void;
}

/** The part of `CanvasRenderingContext2D` that the painter draws with. */
export interface Context2D {
  /** A CSS colour, or a gradient of this canvas. */
  fillStyle: string | object;
  globalAlpha: number;
  save(): void;
  restore(): void;
  translate(x: number, y: number): void;
  scale(x: number, y: number): void;
  beginPath(): void;
  closePath(): void;
  moveTo(x: number, y: number): void;
  lineTo(x: number, y: number): void;
  quadraticCurveTo(cx: number, cy: number, x: number, y: number): void;
  bezierCurveTo(ax: number, ay: number, bx: number, by: number, x: number, y: number): void;
  arc(
    x: number,
    y: number,
    radius: number,
    from: number,
    to: number,
    anticlockwise?: boolean,
  ): void;
  ellipse(
    x: number,
    y: number,
    radiusX: number,
    radiusY: number,
    rotation: number,
    from: number,
    to: number,
  ): void;
  rect(x: number, y: number, width: number, height: number): void;
  fillRect(x: number, y: number, width: number, height: number): void;
  fill(): void;
  clip(): void;
  createLinearGradient(x0: number, y0: number, x1: number, y1: number): Gradient;
  createRadialGradient(
    x0: number,
    y0: number,
    r0: number,
    x1: number,
    y1: number,
    r1: number,
  ): Gradient;
  getImageData(
    x: number,
    y: number,
    width: number,
    height: number,
  ): { readonly data: ArrayLike<number> };
}

/** Makes an empty canvas of this size and hands out its 2D context. */
export type CanvasFactory = (width: number, height: number) => Context2D;
