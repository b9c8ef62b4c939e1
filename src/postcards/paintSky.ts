import { ellipse, linear, softEllipse } from "./brush.js";
import type { Context2D } from "./canvas.js";
import { css, mix, type Rgb } from "./colour.js";
import { type Placed, POSTCARD_SIZE } from "./layout.js";
import type { Light } from "./palette.js";
import type { Random } from "./random.js";
import type { Ground, Scene } from "./world.js";

const SIZE = POSTCARD_SIZE;

/** The sun or moon in the sky. */
export interface Disc {
  readonly x: number;
  readonly y: number;
  readonly radius: number;
}

/** How much of a disc the things would hide, in pixels of overlap. */
function hidden({ x, y, radius }: Disc, things: readonly Placed[]): number {
  const r = radius + 3;
  return things.reduce((sum, t) => {
    const across = Math.min(x + r, t.x + t.width / 2) - Math.max(x - r, t.x - t.width / 2);
    const down = Math.min(y + r, t.base) - Math.max(y - r, t.base - t.height);
    return sum + Math.max(0, across) * Math.max(0, down);
  }, 0);
}

/** Where a low sun stands higher than the horizon, to look over peaks and roofs. */
const RIMS: Readonly<Partial<Record<Ground, number>>> = { mountains: 56, city: 60 };

/** Where the sun or moon stands: of a few places drawn, the one that things hide least. */
export function placeDisc(
  random: Random,
  { time, ground }: Scene,
  horizon: number,
  things: readonly Placed[],
): Disc {
  const rim = RIMS[ground] ?? horizon;
  const [radius, low, high] = {
    dawn: [8.5, rim - 13, rim - 9],
    day: [8, 15, 20],
    sunset: [11, rim - 14, rim - 9],
    night: [8.5, 15, 21],
  }[time] as [number, number, number];
  const places = Array.from({ length: 32 }, () => ({
    x: random.range(14, SIZE - 14),
    y: random.range(low, high),
    radius,
  }));
  return places.reduce((best, p) => (hidden(p, things) < hidden(best, things) ? p : best));
}

function paintStars(c: Context2D, random: Random, horizon: number, disc: Disc): void {
  for (let i = 0; i < 22; i++) {
    const [x, y] = [random.range(2, SIZE - 2), random.range(2, horizon * 0.85)];
    const near = Math.hypot(x - disc.x, y - disc.y) < disc.radius + 5;
    const bright = random.range(0.5, 1);
    if (near) continue;
    softEllipse(c, [x, y, 1 + bright, 1 + bright], [255, 252, 235], bright, 0.1);
  }
}

function paintSun(c: Context2D, { x, y, radius }: Disc, light: Light): void {
  softEllipse(c, [x, y, radius * 4.6, radius * 4.6], light.glow, 0.75);
  ellipse(c, x, y, radius, radius, css(light.disc));
}

function paintMoon(c: Context2D, disc: Disc, scene: Scene, light: Light): void {
  const { x, y, radius } = disc;
  softEllipse(c, [x, y, radius * 3.4, radius * 3.4], light.glow, 0.4);
  if (scene.moon === "full") {
    ellipse(c, x, y, radius, radius, css(light.disc));
    const sea = mix(light.disc, light.sky[2], 0.2);
    ellipse(c, x - radius * 0.3, y - radius * 0.2, radius * 0.3, radius * 0.25, css(sea));
    ellipse(c, x + radius * 0.35, y + radius * 0.3, radius * 0.22, radius * 0.2, css(sea));
    return;
  }
  crescent(c, disc);
  c.fillStyle = css(light.disc);
  c.fill();
}

/** The path of a disc less a disc beside it. */
function crescent(c: Context2D, { x, y, radius }: Disc): void {
  const [tilt, distance, cut] = [-0.45, radius * 0.55, radius * 0.86];
  const along = (distance ** 2 + radius ** 2 - cut ** 2) / (2 * distance);
  const across = Math.sqrt(radius ** 2 - along ** 2);
  const outer = Math.atan2(across, along);
  const inner = Math.atan2(across, along - distance);
  c.beginPath();
  c.arc(x, y, radius, tilt + outer, tilt - outer + 2 * Math.PI);
  const [ix, iy] = [x + distance * Math.cos(tilt), y + distance * Math.sin(tilt)];
  c.arc(ix, iy, cut, tilt - inner, tilt + inner - 2 * Math.PI, true);
  c.closePath();
}

/** How far a puff lies from the middle of a cloud, how high, and how large: shares of its width. */
const PUFFS = [
  [-0.34, 0.02, 0.16],
  [-0.16, 0.1, 0.22],
  [0.06, 0.15, 0.26],
  [0.26, 0.06, 0.19],
  [0.4, 0.01, 0.13],
] as const;

/** A cloud of soft puffs over a flat shade, w wide. */
function paintCloud(
  c: Context2D,
  random: Random,
  [x, y, w]: readonly [number, number, number],
  light: Light,
): void {
  const [lit, shade] = light.cloud;
  const turn = random.chance(0.5) ? 1 : -1;
  const puffs = PUFFS.map(([across, up, r]) => {
    const grown = r * random.range(0.9, 1.15);
    return [x + turn * across * w, y - up * w, grown * w] as const;
  });
  softEllipse(c, [x, y + w * 0.03, w * 0.62, w * 0.17], shade, 0.95, 0.3);
  for (const [px, py, r] of puffs) softEllipse(c, [px, py + r * 0.25, r * 1.1, r], shade, 0.8, 0.3);
  for (const [px, py, r] of puffs) softEllipse(c, [px, py, r, r * 0.92], lit, 0.95, 0.35);
}

/** Clouds all over the sky, but never on the moon, which is always to be seen. */
function paintClouds(
  c: Context2D,
  random: Random,
  scene: Scene,
  light: Light,
  { horizon, disc }: { readonly horizon: number; readonly disc: Disc },
): void {
  // The lower, the smaller, and the further away.
  const start = random.next();
  for (let i = 0; i < 6; i++) {
    const depth = i / 5;
    const width = 52 - 24 * depth;
    const x = -8 + ((start + i * 0.618 + random.range(-0.06, 0.06)) % 1) * (SIZE + 16);
    const y = 14 + depth * (horizon - 32) + random.range(-3, 3);
    const near = Math.abs(x - disc.x) < width * 0.6 + disc.radius && Math.abs(y - disc.y) < 22;
    if (scene.moon !== undefined && near) continue;
    paintCloud(c, random, [x, y, width], light);
  }
}

const RAINBOW: readonly Rgb[] = [
  [226, 50, 60],
  [250, 150, 40],
  [252, 230, 70],
  [70, 190, 90],
  [60, 120, 225],
  [140, 70, 190],
];

function paintRainbow(c: Context2D, random: Random, horizon: number): void {
  const outer = random.range(54, 60);
  // High enough that peaks and roofs leave most of it free.
  const [x, y] = [64 + random.range(-8, 8), Math.min(horizon + 6, 76)];
  const width = 11;
  const gradient = c.createRadialGradient(x, y, outer - width, x, y, outer);
  const n = RAINBOW.length;
  gradient.addColorStop(0, css(RAINBOW[n - 1]!, 0));
  RAINBOW.forEach((colour, i) => {
    gradient.addColorStop(1 - (i + 0.75) / (n + 0.5), css(colour, 0.72));
  });
  gradient.addColorStop(1, css(RAINBOW[0]!, 0));
  ellipse(c, x, y, outer, outer, gradient);
}

/** The sky down to the horizon and a little below it. */
export function paintSky(
  c: Context2D,
  random: Random,
  scene: Scene,
  light: Light,
  { horizon, disc }: { readonly horizon: number; readonly disc: Disc },
): void {
  const [top, middle, low] = light.sky;
  c.fillStyle = linear(c, [0, 0], [0, horizon], [0, top], [0.6, middle], [1, low]);
  c.fillRect(0, 0, SIZE, horizon + 12);
  if (scene.time === "night") {
    if (scene.weather === "clear") paintStars(c, random, horizon, disc);
    paintMoon(c, disc, scene, light);
  } else {
    paintSun(c, disc, light);
  }
  if (scene.weather === "cloudy") paintClouds(c, random, scene, light, { horizon, disc });
  if (scene.weather === "rainbow") paintRainbow(c, random, horizon);
}
