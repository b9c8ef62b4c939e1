import { ellipse, linear, polygon, softEllipse } from "./brush.js";
import { css, mix } from "./colour.js";
import { type Brush, pane, round, SLATE, shines, tone, WOOD } from "./thingBrush.js";

/** A house: walls of its colour under a slate roof. */
export function house(b: Brush): void {
  const { c, w, h } = b;
  const wall = h * 0.56;
  c.fillStyle = css(tone(b, [128, 92, 84]));
  c.fillRect(w * 0.2, -h * 0.97, w * 0.11, h * 0.3);
  c.fillStyle = round(b, b.paint, -w * 0.44, w * 0.44, 0.7);
  c.fillRect(-w * 0.44, -wall, w * 0.88, wall);
  polygon(
    c,
    linear(c, [0, -h], [0, -wall], [0, tone(b, SLATE)], [1, tone(b, SLATE, 0.6)]),
    [-w * 0.5, -wall + h * 0.02],
    [-w * 0.3, -h * 0.95],
    [w * 0.3, -h * 0.95],
    [w * 0.5, -wall + h * 0.02],
  );
  c.fillStyle = css(tone(b, WOOD, 0.3));
  c.fillRect(-w * 0.08, -h * 0.33, w * 0.16, h * 0.33);
  pane(b, -w * 0.26, -h * 0.33, w * 0.16, h * 0.17);
  pane(b, w * 0.26, -h * 0.33, w * 0.16, h * 0.17);
}

/** A tent with an open door. */
export function tent(b: Brush): void {
  const { c, w, h, paint } = b;
  const lean = b.fromLeft ? 1 : -1;
  const side = (s: number): number => s * lean;
  polygon(
    c,
    css(tone(b, mix(paint, [255, 255, 255], 0.1))),
    [side(-w * 0.5), 0],
    [side(-w * 0.1), -h],
    [side(w * 0.22), 0],
  );
  polygon(
    c,
    css(tone(b, paint, 0.65)),
    [side(w * 0.22), 0],
    [side(-w * 0.1), -h],
    [side(w * 0.5), -h * 0.06],
  );
  const inside = mix(tone(b, [66, 54, 62]), [255, 212, 120], b.light.lamps * 0.9);
  polygon(c, css(inside), [side(-w * 0.27), 0], [side(-w * 0.11), -h * 0.66], [side(w * 0.03), 0]);
}

/** A lighthouse: a tower of its colour with one belt. */
export function lighthouse(b: Brush): void {
  const { c, w, h, paint } = b;
  const [foot, neck, top] = [w * 0.38, w * 0.25, -h * 0.76];
  if (b.light.lamps > 0) {
    softEllipse(c, [0, top - h * 0.08, w, w * 0.8], [255, 240, 170], 0.75 * b.light.lamps);
  }
  const half = (y: number): number => foot + (neck - foot) * (y / top);
  const band = (y0: number, y1: number, fill: object): void =>
    polygon(c, fill, [-half(y0), y0], [-half(y1), y1], [half(y1), y1], [half(y0), y0]);
  band(0, top, round(b, paint, -foot, foot));
  // One belt: pale, or gray on a white tower.
  const white = Math.min(...paint) > 200;
  band(top * 0.42, top * 0.62, round(b, white ? [150, 154, 166] : [248, 246, 240], -foot, foot));
  c.fillStyle = css(tone(b, [70, 68, 78]));
  c.fillRect(-w * 0.34, top - h * 0.02, w * 0.68, h * 0.035);
  c.fillStyle = css(mix(tone(b, [250, 232, 160]), [255, 240, 170], b.light.lamps));
  c.fillRect(-w * 0.2, top - h * 0.13, w * 0.4, h * 0.11);
  polygon(
    c,
    css(tone(b, [84, 76, 86])),
    [-w * 0.28, top - h * 0.12],
    [0, -h],
    [w * 0.28, top - h * 0.12],
  );
  c.fillStyle = css(tone(b, WOOD, 0.4));
  c.fillRect(-w * 0.1, -h * 0.12, w * 0.2, h * 0.12);
}

/** A futuristic tower: a stem, and a saucer with a ring of windows. */
export function tower(b: Brush): void {
  const { c, w, h, paint } = b;
  const fill = round(b, paint, -w * 0.3, w * 0.3);
  c.beginPath();
  c.moveTo(-w * 0.3, 0);
  c.quadraticCurveTo(-w * 0.1, -h * 0.25, -w * 0.12, -h * 0.66);
  c.lineTo(w * 0.12, -h * 0.66);
  c.quadraticCurveTo(w * 0.1, -h * 0.25, w * 0.3, 0);
  c.closePath();
  c.fillStyle = fill;
  c.fill();
  // The spire, then the saucer with its ring of windows.
  polygon(c, css(tone(b, [150, 152, 166])), [-w * 0.05, -h * 0.8], [0, -h], [w * 0.05, -h * 0.8]);
  ellipse(c, 0, -h * 0.75, w * 0.3, h * 0.1, round(b, paint, -w * 0.3, w * 0.3));
  ellipse(c, 0, -h * 0.67, w * 0.5, h * 0.085, round(b, paint, -w * 0.5, w * 0.5));
  ellipse(
    c,
    0,
    -h * 0.68,
    w * 0.36,
    h * 0.03,
    css(mix(tone(b, [168, 214, 232]), [255, 232, 150], b.light.lamps)),
  );
  if (shines(b)) {
    softEllipse(c, [0, -h * 0.68, w * 0.55, h * 0.1], [255, 226, 140], 0.4 * b.light.lamps);
  }
}
