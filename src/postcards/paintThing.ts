import { ellipse, linear, polygon, softEllipse } from "./brush.js";
import type { Context2D } from "./canvas.js";
import { css, mix, type Rgb, under } from "./colour.js";
import { type Light, PAINTS } from "./palette.js";
import type { Colour, Kind } from "./world.js";

/** What a thing is drawn with; its middle is x = 0, its base y = 0, up is negative. */
interface Brush {
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
function tone({ light }: Brush, colour: Rgb, shade = 0): Rgb {
  const dark: Rgb = [colour[0] * 0.62, colour[1] * 0.6, colour[2] * 0.7];
  return under(mix(colour, dark, shade), light.things);
}

/** A surface that turns from the light: a gradient across [x0, x1]. */
function round(b: Brush, colour: Rgb, x0: number, x1: number, depth = 1): object {
  const [from, to] = b.fromLeft ? [x0, x1] : [x1, x0];
  const bright = mix(colour, [255, 255, 255], 0.16);
  return linear(
    b.c,
    [from, 0],
    [to, 0],
    [
      [0, tone(b, bright)],
      [0.35, tone(b, colour)],
      [1, tone(b, colour, depth)],
    ],
  );
}

/** Glass: dark by day, warm with a glow by night. */
function glass(b: Brush): Rgb {
  return mix(tone(b, [70, 92, 122]), [255, 220, 128], b.light.lamps);
}

function pane(b: Brush, x: number, y: number, w: number, h: number): void {
  b.c.fillStyle = css(glass(b));
  b.c.fillRect(x - w / 2, y - h / 2, w, h);
  if (b.light.lamps > 0.5) {
    softEllipse(b.c, [x, y, w * 1.3, h * 1.3], [255, 206, 110], 0.4 * b.light.lamps);
  }
}

const SLATE: Rgb = [86, 78, 88];
const WOOD: Rgb = [122, 80, 54];

function house(b: Brush): void {
  const { c, w, h } = b;
  const wall = h * 0.56;
  c.fillStyle = css(tone(b, [128, 92, 84]));
  c.fillRect(w * 0.2, -h * 0.97, w * 0.11, h * 0.3);
  c.fillStyle = round(b, b.paint, -w * 0.44, w * 0.44, 0.7);
  c.fillRect(-w * 0.44, -wall, w * 0.88, wall);
  polygon(
    c,
    [
      [-w * 0.5, -wall + h * 0.02],
      [-w * 0.3, -h * 0.95],
      [w * 0.3, -h * 0.95],
      [w * 0.5, -wall + h * 0.02],
    ],
    linear(
      c,
      [0, -h],
      [0, -wall],
      [
        [0, tone(b, SLATE)],
        [1, tone(b, SLATE, 0.6)],
      ],
    ),
  );
  c.fillStyle = css(tone(b, WOOD, 0.3));
  c.fillRect(-w * 0.08, -h * 0.33, w * 0.16, h * 0.33);
  pane(b, -w * 0.26, -h * 0.33, w * 0.16, h * 0.17);
  pane(b, w * 0.26, -h * 0.33, w * 0.16, h * 0.17);
}

function tent(b: Brush): void {
  const { c, w, h, paint } = b;
  const lean = b.fromLeft ? 1 : -1;
  const side = (s: number): number => s * lean;
  polygon(
    c,
    [
      [side(-w * 0.5), 0],
      [side(-w * 0.1), -h],
      [side(w * 0.22), 0],
    ],
    css(tone(b, mix(paint, [255, 255, 255], 0.1))),
  );
  polygon(
    c,
    [
      [side(w * 0.22), 0],
      [side(-w * 0.1), -h],
      [side(w * 0.5), -h * 0.06],
    ],
    css(tone(b, paint, 0.65)),
  );
  const inside = mix(tone(b, [66, 54, 62]), [255, 212, 120], b.light.lamps * 0.9);
  polygon(
    c,
    [
      [side(-w * 0.27), 0],
      [side(-w * 0.11), -h * 0.66],
      [side(w * 0.03), 0],
    ],
    css(inside),
  );
}

function car(b: Brush): void {
  const { c, w, h, paint } = b;
  const body = linear(
    c,
    [0, -h],
    [0, -h * 0.15],
    [
      [0, tone(b, mix(paint, [255, 255, 255], 0.2))],
      [0.5, tone(b, paint)],
      [1, tone(b, paint, 0.7)],
    ],
  );
  // The cabin, then the lower body.
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
  polygon(
    c,
    [
      [-w * 0.25, -h * 0.58],
      [-w * 0.18, -h * 0.82],
      [-w * 0.04, -h * 0.86],
      [-w * 0.04, -h * 0.58],
    ],
    css(glass(b)),
  );
  polygon(
    c,
    [
      [0, -h * 0.58],
      [0, -h * 0.86],
      [w * 0.11, -h * 0.8],
      [w * 0.19, -h * 0.58],
    ],
    css(glass(b)),
  );
  for (const x of [-w * 0.27, w * 0.27]) {
    ellipse(c, x, -h * 0.19, h * 0.21, h * 0.21, css(tone(b, [42, 42, 50])));
    ellipse(c, x, -h * 0.19, h * 0.09, h * 0.09, css(tone(b, [176, 178, 186])));
  }
  if (b.light.lamps > 0.5)
    softEllipse(c, [w * 0.5, -h * 0.38, w * 0.17, w * 0.13], [255, 240, 180], 0.9);
}

function balloon(b: Brush): void {
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
  if (b.light.lamps > 0.5)
    softEllipse(c, [0, -h * 0.24, w * 0.24, w * 0.24], [255, 226, 140], 0.8 * b.light.lamps);
}

function sailboat(b: Brush): void {
  const { c, w, h, paint } = b;
  c.beginPath();
  c.moveTo(-w * 0.5, -h * 0.2);
  c.lineTo(w * 0.5, -h * 0.2);
  c.quadraticCurveTo(w * 0.38, 0, w * 0.22, 0);
  c.lineTo(-w * 0.28, 0);
  c.quadraticCurveTo(-w * 0.44, 0, -w * 0.5, -h * 0.2);
  c.closePath();
  c.fillStyle = linear(
    c,
    [0, -h * 0.2],
    [0, 0],
    [
      [0, tone(b, WOOD)],
      [1, tone(b, WOOD, 0.8)],
    ],
  );
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

function lighthouse(b: Brush): void {
  const { c, w, h, paint } = b;
  const [foot, neck, top] = [w * 0.38, w * 0.25, -h * 0.76];
  if (b.light.lamps > 0) {
    softEllipse(c, [0, top - h * 0.08, w, w * 0.8], [255, 240, 170], 0.75 * b.light.lamps);
  }
  const half = (y: number): number => foot + (neck - foot) * (y / top);
  const band = (y0: number, y1: number, fill: object): void =>
    polygon(
      c,
      [
        [-half(y0), y0],
        [-half(y1), y1],
        [half(y1), y1],
        [half(y0), y0],
      ],
      fill,
    );
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
    [
      [-w * 0.28, top - h * 0.12],
      [0, -h],
      [w * 0.28, top - h * 0.12],
    ],
    css(tone(b, [84, 76, 86])),
  );
  c.fillStyle = css(tone(b, WOOD, 0.4));
  c.fillRect(-w * 0.1, -h * 0.12, w * 0.2, h * 0.12);
}

function tower(b: Brush): void {
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
  polygon(
    c,
    [
      [-w * 0.05, -h * 0.8],
      [0, -h],
      [w * 0.05, -h * 0.8],
    ],
    css(tone(b, [150, 152, 166])),
  );
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
  if (b.light.lamps > 0.5)
    softEllipse(c, [0, -h * 0.68, w * 0.55, h * 0.1], [255, 226, 140], 0.4 * b.light.lamps);
}

function trunk(b: Brush, half: number, height: number): void {
  b.c.fillStyle = round(b, WOOD, -half, half);
  b.c.fillRect(-half, -height, half * 2, height);
}

function tree(b: Brush): void {
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

function pine(b: Brush): void {
  const { c, w, h } = b;
  trunk(b, w * 0.08, h * 0.16);
  for (const [half, low, high] of [
    [0.5, 0.1, 0.52],
    [0.41, 0.34, 0.74],
    [0.3, 0.58, 1],
  ] as const) {
    polygon(
      c,
      [
        [-half * w, -low * h],
        [0, -high * h],
        [half * w, -low * h],
      ],
      round(b, [34, 104, 76], -half * w, half * w, 0.9),
    );
  }
}

function palm(b: Brush): void {
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

function cactus(b: Brush): void {
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

function snowman(b: Brush): void {
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
  polygon(
    c,
    [
      [0, -h * 0.63],
      [w * 0.26, -h * 0.585],
      [0, -h * 0.57],
    ],
    css(tone(b, [246, 134, 40])),
  );
}

const DRAW: Readonly<Record<Kind, (b: Brush) => void>> = {
  house,
  tent,
  car,
  balloon,
  sailboat,
  lighthouse,
  tower,
  tree,
  pine,
  palm,
  cactus,
  snowman,
};

/** Draws a thing, w wide and h high, on the point (0, 0). */
export function paintThing(
  c: Context2D,
  thing: {
    readonly kind: Kind;
    readonly colour: Colour | undefined;
    readonly width: number;
    readonly height: number;
  },
  light: Light,
  fromLeft: boolean,
): void {
  const paint = PAINTS[thing.colour ?? "white"];
  DRAW[thing.kind]({ c, w: thing.width, h: thing.height, light, paint, fromLeft });
}
