import { ellipse, polygon, softEllipse } from "./brush.js";
import { css, type Rgb } from "./colour.js";
import { type Brush, round, tone, WOOD } from "./thingBrush.js";

function trunk(b: Brush, half: number, height: number): void {
  b.c.fillStyle = round(b, WOOD, -half, half);
  b.c.fillRect(-half, -height, half * 2, height);
}

/** A leafy tree: a round crown on a trunk. */
export function tree(b: Brush): void {
  const { c, w, h } = b;
  trunk(b, w * 0.08, h * 0.4);
  const lit = b.fromLeft ? -1 : 1;
  const [dark, leaf, bright]: readonly Rgb[] = [
    [52, 112, 52],
    [78, 150, 60],
    [122, 188, 80],
  ];
  for (const [x, y, r] of [
    [-0.24, 0.5, 0.26],
    [0.24, 0.5, 0.26],
    [0, 0.72, 0.36],
  ] as const) {
    ellipse(c, x * w, -y * h, r * w, r * w * 0.95, css(tone(b, leaf!)));
  }
  softEllipse(c, [-lit * w * 0.16, -h * 0.5, w * 0.34, w * 0.3], tone(b, dark!), 0.7);
  softEllipse(c, [lit * w * 0.12, -h * 0.76, w * 0.28, w * 0.26], tone(b, bright!), 0.85);
}

/** A pine tree: three cones on a trunk. */
export function pine(b: Brush): void {
  const { c, w, h } = b;
  trunk(b, w * 0.08, h * 0.16);
  for (const [half, low, high] of [
    [0.5, 0.1, 0.52],
    [0.41, 0.34, 0.74],
    [0.3, 0.58, 1],
  ] as const) {
    polygon(
      c,
      round(b, [34, 104, 76], -half * w, half * w, 0.9),
      [-half * w, -low * h],
      [0, -high * h],
      [half * w, -low * h],
    );
  }
}

/** A palm tree. */
export function palm(b: Brush): void {
  const { c, w, h } = b;
  const [x, y] = [w * 0.06, -h * 0.78];
  c.beginPath();
  c.moveTo(-w * 0.1, 0);
  c.quadraticCurveTo(-w * 0.1, -h * 0.45, x - w * 0.04, y);
  c.lineTo(x + w * 0.05, y);
  c.quadraticCurveTo(w * 0.02, -h * 0.4, w * 0.06, 0);
  c.closePath();
  c.fillStyle = round(b, [150, 108, 70], -w * 0.1, w * 0.1);
  c.fill();
  // Leaves: arcs from the crown that hang down at their ends.
  for (const [ex, ey, up] of [
    [-0.5, -0.56, 0.16],
    [0.5, -0.6, 0.16],
    [-0.42, -0.86, 0.18],
    [0.46, -0.88, 0.17],
    [-0.12, -0.98, 0.04],
    [0.24, -1, 0.04],
  ] as const) {
    const [tx, ty] = [ex * w, ey * h];
    const [mx, my] = [(x + tx) / 2, Math.min(y, ty) - up * h * 0.8];
    c.beginPath();
    c.moveTo(x, y - h * 0.02);
    c.quadraticCurveTo(mx, my - h * 0.02, tx, ty);
    c.quadraticCurveTo(mx, my + h * 0.15, x, y + h * 0.04);
    c.closePath();
    c.fillStyle = css(tone(b, [62, 148, 70], ex > 0 === b.fromLeft ? 0.45 : 0.05));
    c.fill();
  }
}

/** A bar with round ends from one point to another, at right angles to the axes. */
function bar(b: Brush, x: number, y0: number, y1: number, r: number, fill: object): void {
  const { c } = b;
  c.beginPath();
  c.moveTo(x - r, y0);
  c.lineTo(x - r, y1 + r);
  c.arc(x, y1 + r, r, Math.PI, 2 * Math.PI);
  c.lineTo(x + r, y0);
  c.closePath();
  c.fillStyle = fill;
  c.fill();
}

/** A cactus with two arms. */
export function cactus(b: Brush): void {
  const { c, w, h } = b;
  const green: Rgb = [70, 150, 84];
  const arm = w * 0.1;
  for (const [side, low, high] of [
    [-1, 0.36, 0.72],
    [1, 0.46, 0.84],
  ] as const) {
    const x = side * w * 0.38;
    const fill = round(b, green, x - arm, x + arm);
    c.fillStyle = css(tone(b, green, 0.35));
    c.fillRect(Math.min(x, 0), -low * h - arm, Math.abs(x), arm * 2);
    ellipse(c, x, -low * h, arm, arm, fill);
    bar(b, x, -low * h, -high * h, arm, fill);
  }
  bar(b, 0, 0, -h, w * 0.17, round(b, green, -w * 0.17, w * 0.17));
}

/** A snowman with a hat, a scarf and a carrot. */
export function snowman(b: Brush): void {
  const { c, w, h } = b;
  const white: Rgb = [250, 251, 255];
  const ball = (y: number, r: number): void => ellipse(c, 0, y, r, r, round(b, white, -r, r, 0.55));
  ball(-h * 0.27, w * 0.44);
  ball(-h * 0.6, w * 0.32);
  c.fillStyle = css(tone(b, [206, 52, 56]));
  c.fillRect(-w * 0.25, -h * 0.52, w * 0.5, h * 0.06);
  c.fillStyle = css(tone(b, [48, 46, 58]));
  c.fillRect(-w * 0.36, -h * 0.8, w * 0.72, h * 0.05);
  c.fillRect(-w * 0.22, -h, w * 0.44, h * 0.22);
  ellipse(c, -w * 0.12, -h * 0.66, w * 0.045, w * 0.045, css([40, 40, 50]));
  ellipse(c, w * 0.12, -h * 0.66, w * 0.045, w * 0.045, css([40, 40, 50]));
  polygon(c, css(tone(b, [246, 134, 40])), [0, -h * 0.63], [w * 0.26, -h * 0.585], [0, -h * 0.57]);
}
