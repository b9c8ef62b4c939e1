import type { Builder } from "../builder.js";
import { NCHWC } from "./layouts.js";

/** Pixels around a picture: [top, left, bottom, right]. */
export type Sides = readonly [number, number, number, number];
export type Shape4 = readonly [number, number, number, number];

/** What a convolution is told. */
export interface Geometry {
  readonly kernel: readonly [number, number];
  readonly strides?: readonly [number, number];
  readonly dilations?: readonly [number, number];
  readonly pads: Sides;
  readonly group?: number;
}

/** One blocked convolution; its inputs lie as it wants them. */
export function convolve(b: Builder, inputs: readonly string[], geometry: Geometry): string {
  const { kernel, strides = [1, 1], dilations = [1, 1], pads, group = 1 } = geometry;
  return b.node("Conv", inputs, { kernel_shape: kernel, strides, dilations, pads, group }, NCHWC);
}

/** A weight [O,I,kh,kw] in the orders that it may be wanted in. */
export interface Kernel {
  readonly shape: Shape4;
  /** In blocks, where both channels have whole blocks. */
  packed(): string;
  /** Row-major. */
  plain(): string;
}
