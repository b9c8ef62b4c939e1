import { linear, softEllipse } from "./brush.js";
import type { Context2D } from "./canvas.js";
import { css, mix, type Rgb, under } from "./colour.js";
import type { Light } from "./palette.js";

/** What a thing is drawn with; its middle is x = 0, its base y = 0, up is negative. */
export interface Brush {
  readonly c: Context2D;
  readonly w: number;
  readonly h: number;
  readonly light: Light;
  /** Its own colour in white light. */
  readonly paint: Rgb;
  /** Whether the light comes from the left. */
  readonly fromLeft: boolean;
}

/** A colour in the light of the scene, from lit (0) to shaded (1). */
export function tone({ light }: Brush, colour: Rgb, shade = 0): Rgb {
  const dark: Rgb = [colour[0] * 0.62, colour[1] * 0.6, colour[2] * 0.7];
  return under(mix(colour, dark, shade), light.things);
}

/** A surface that turns from the light: a gradient across [x0, x1]. */
export function round(b: Brush, colour: Rgb, x0: number, x1: number, depth = 1): object {
  const [from, to] = b.fromLeft ? [x0, x1] : [x1, x0];
  const bright = mix(colour, [255, 255, 255], 0.16);
  return linear(
    b.c,
    [from, 0],
    [to, 0],
    [0, tone(b, bright)],
    [0.35, tone(b, colour)],
    [1, tone(b, colour, depth)],
  );
}

/** Whether lamps glow. */
export function shines({ light }: Brush): boolean {
  return light.lamps > 0.5;
}

/** Glass: dark by day, warm with a glow by night. */
export function glass(b: Brush): Rgb {
  return mix(tone(b, [70, 92, 122]), [255, 220, 128], b.light.lamps);
}

/** A window around a point. */
export function pane(b: Brush, x: number, y: number, w: number, h: number): void {
  b.c.fillStyle = css(glass(b));
  b.c.fillRect(x - w / 2, y - h / 2, w, h);
  if (shines(b)) {
    softEllipse(b.c, [x, y, w * 1.3, h * 1.3], [255, 206, 110], 0.4 * b.light.lamps);
  }
}

export const SLATE: Rgb = [86, 78, 88];
export const WOOD: Rgb = [122, 80, 54];
