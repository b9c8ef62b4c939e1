import { ellipse, linear, polygon, softEllipse } from "./brush.js";
import { css, mix } from "./colour.js";
import { type Brush, glass, round, shines, tone, WOOD } from "./thingBrush.js";

/** The body of a car without windows and wheels: the cabin, then what is below it. */
function carBody(b: Brush): void {
  const { c, w, h, paint } = b;
  const body = linear(
    c,
    [0, -h],
    [0, -h * 0.15],
    [0, tone(b, mix(paint, [255, 255, 255], 0.2))],
    [0.5, tone(b, paint)],
    [1, tone(b, paint, 0.7)],
  );
  c.beginPath();
  c.moveTo(-w * 0.36, -h * 0.5);
  c.bezierCurveTo(-w * 0.28, -h * 1.12, w * 0.12, -h * 1.12, w * 0.27, -h * 0.5);
  c.closePath();
  c.fillStyle = body;
  c.fill();
  c.beginPath();
  c.moveTo(-w * 0.5, -h * 0.2);
  c.bezierCurveTo(-w * 0.52, -h * 0.66, -w * 0.4, -h * 0.6, -w * 0.3, -h * 0.6);
  c.lineTo(w * 0.24, -h * 0.6);
  c.bezierCurveTo(w * 0.44, -h * 0.58, w * 0.52, -h * 0.5, w * 0.5, -h * 0.2);
  c.closePath();
  c.fill();
}

/** A small round car. */
export function car(b: Brush): void {
  const { c, w, h } = b;
  carBody(b);
  polygon(
    c,
    css(glass(b)),
    [-w * 0.25, -h * 0.58],
    [-w * 0.18, -h * 0.82],
    [-w * 0.04, -h * 0.86],
    [-w * 0.04, -h * 0.58],
  );
  polygon(
    c,
    css(glass(b)),
    [0, -h * 0.58],
    [0, -h * 0.86],
    [w * 0.11, -h * 0.8],
    [w * 0.19, -h * 0.58],
  );
  for (const x of [-w * 0.27, w * 0.27]) {
    ellipse(c, x, -h * 0.19, h * 0.21, h * 0.21, css(tone(b, [42, 42, 50])));
    ellipse(c, x, -h * 0.19, h * 0.09, h * 0.09, css(tone(b, [176, 178, 186])));
  }
  if (shines(b)) {
    softEllipse(c, [w * 0.5, -h * 0.38, w * 0.17, w * 0.13], [255, 240, 180], 0.9);
  }
}

/** A hot-air balloon with its basket. */
export function balloon(b: Brush): void {
  const { c, w, h, paint } = b;
  const r = w / 2;
  const cy = -h + r;
  c.beginPath();
  c.moveTo(-w * 0.13, -h * 0.2);
  c.bezierCurveTo(-w * 0.3, -h * 0.36, -r, -h * 0.45, -r, cy);
  c.arc(0, cy, r, Math.PI, 2 * Math.PI);
  c.bezierCurveTo(r, -h * 0.45, w * 0.3, -h * 0.36, w * 0.13, -h * 0.2);
  c.closePath();
  c.fillStyle = round(b, paint, -r, r, 0.8);
  c.fill();
  // A paler gore in the middle makes it round.
  c.save();
  c.clip();
  const pale = tone(b, mix(paint, [255, 255, 255], 0.22));
  ellipse(c, 0, cy + h * 0.06, w * 0.17, h * 0.5, css(pale, 0.6));
  c.restore();
  c.fillStyle = css(tone(b, WOOD, 0.4));
  c.fillRect(-w * 0.12, -h * 0.2, w * 0.03, h * 0.1);
  c.fillRect(w * 0.09, -h * 0.2, w * 0.03, h * 0.1);
  c.fillStyle = css(tone(b, WOOD));
  c.fillRect(-w * 0.13, -h * 0.13, w * 0.26, h * 0.13);
  if (shines(b)) {
    softEllipse(c, [0, -h * 0.24, w * 0.24, w * 0.24], [255, 226, 140], 0.8 * b.light.lamps);
  }
}

/** A wooden boat with two sails of its colour. */
export function sailboat(b: Brush): void {
  const { c, w, h, paint } = b;
  c.beginPath();
  c.moveTo(-w * 0.5, -h * 0.2);
  c.lineTo(w * 0.5, -h * 0.2);
  c.quadraticCurveTo(w * 0.38, 0, w * 0.22, 0);
  c.lineTo(-w * 0.28, 0);
  c.quadraticCurveTo(-w * 0.44, 0, -w * 0.5, -h * 0.2);
  c.closePath();
  c.fillStyle = linear(c, [0, -h * 0.2], [0, 0], [0, tone(b, WOOD)], [1, tone(b, WOOD, 0.8)]);
  c.fill();
  c.fillStyle = css(tone(b, [90, 66, 54]));
  c.fillRect(-w * 0.04, -h, w * 0.05, h * 0.82);
  const main = tone(b, mix(paint, [255, 255, 255], 0.08));
  c.beginPath();
  c.moveTo(w * 0.03, -h * 0.97);
  c.quadraticCurveTo(w * 0.4, -h * 0.6, w * 0.44, -h * 0.26);
  c.lineTo(w * 0.03, -h * 0.26);
  c.closePath();
  c.fillStyle = css(main);
  c.fill();
  c.beginPath();
  c.moveTo(-w * 0.07, -h * 0.9);
  c.quadraticCurveTo(-w * 0.36, -h * 0.55, -w * 0.44, -h * 0.28);
  c.lineTo(-w * 0.07, -h * 0.26);
  c.closePath();
  c.fillStyle = css(tone(b, paint, 0.5));
  c.fill();
}
