import { linear, polygon, softEllipse } from "./brush.js";
import type { Context2D } from "./canvas.js";
import { css, mix, type Rgb, under } from "./colour.js";
import { POSTCARD_SIZE } from "./layout.js";
import type { Disc } from "./paintSky.js";
import type { Light } from "./palette.js";
import type { Random } from "./random.js";
import type { Ground, Scene } from "./world.js";

const SIZE = POSTCARD_SIZE;

/** Where the sky ends. */
export const HORIZONS: Readonly<Record<Ground, number>> = {
  meadow: 76,
  lake: 70,
  sea: 66,
  desert: 76,
  snow: 76,
  mountains: 80,
  city: 82,
};

/** A soft outline from left to right: height above `y` at most `rise`, with waves of width `span`. */
function ridge(
  c: Context2D,
  random: Random,
  [y, rise, span]: readonly [y: number, rise: number, span: number],
  fill: string | object,
): void {
  const phase = [random.range(0, 6.3), random.range(0, 6.3)] as const;
  const at = (x: number): number =>
    y -
    rise * (0.5 + 0.34 * Math.sin((6.28 * x) / span + phase[0])) -
    rise * 0.16 * Math.sin((6.28 * x * 1.83) / span + phase[1]);
  c.beginPath();
  c.moveTo(-2, SIZE + 2);
  for (let x = -2; x <= SIZE + 2; x += 3) c.lineTo(x, at(x));
  c.lineTo(SIZE + 2, SIZE + 2);
  c.closePath();
  c.fillStyle = fill;
  c.fill();
}

/** A surface from `top` down to the lower edge: further up it is hazier, and nearer it is deeper. */
function surface(c: Context2D, light: Light, top: number, far: Rgb, near: Rgb): object {
  return linear(
    c,
    [0, top],
    [0, SIZE],
    [
      [0, mix(under(far, light.ambient), light.haze, 0.18)],
      [0.35, under(mix(far, near, 0.45), light.ambient)],
      [1, under(near, light.ambient)],
    ],
  );
}

/** Hills far away. */
function farHills(
  c: Context2D,
  random: Random,
  light: Light,
  [y, rise, span]: readonly [number, number, number],
  colour: Rgb,
  haze: number,
): void {
  const base = mix(under(colour, light.ambient), light.haze, haze);
  const fill = linear(
    c,
    [0, y - rise],
    [0, y + 6],
    [
      [0, base],
      [1, mix(base, light.haze, 0.5)],
    ],
  );
  ridge(c, random, [y, rise, span], fill);
}

function meadow(c: Context2D, random: Random, light: Light): void {
  farHills(c, random, light, [79, 18, 110], [92, 150, 140], 0.55);
  farHills(c, random, light, [84, 13, 80], [104, 172, 92], 0.3);
  ridge(c, random, [93, 9, 150], surface(c, light, 84, [150, 204, 88], [72, 148, 56]));
  ridge(c, random, [114, 7, 170], surface(c, light, 106, [124, 186, 72], [60, 132, 50]));
}

/** Water from `top` to `bottom`: the sky upside down, darker, with the glitter of the disc. */
function water(
  c: Context2D,
  random: Random,
  scene: Scene,
  light: Light,
  { top, bottom, disc }: { readonly top: number; readonly bottom: number; readonly disc: Disc },
): void {
  const blue: Rgb = under([44, 132, 190], light.ambient);
  c.fillStyle = linear(
    c,
    [0, top],
    [0, bottom],
    [
      [0, mix(light.sky[2], blue, 0.45)],
      [0.5, mix(light.sky[1], blue, 0.6)],
      [1, mix(light.sky[0], blue, 0.75)],
    ],
  );
  c.fillRect(0, top, SIZE, bottom - top);
  c.save();
  c.beginPath();
  c.rect(0, top, SIZE, bottom - top);
  c.clip();
  const shine = { dawn: 0.55, day: 0.25, sunset: 0.7, night: 0.4 }[scene.time];
  const covered = scene.weather === "cloudy" ? 0.6 : 1;
  softEllipse(c, [disc.x, top + 8, 15, 26], light.disc, shine * covered);
  // A few long, faint waves.
  for (let i = 0; i < 5; i++) {
    const y = top + 4 + ((bottom - top - 6) * (i + random.range(0.2, 0.8))) / 5;
    softEllipse(c, [random.range(10, 118), y, random.range(16, 30), 1.6], [255, 255, 255], 0.2);
  }
  c.restore();
}

function lake(c: Context2D, random: Random, light: Light, scene: Scene, disc: Disc): void {
  farHills(c, random, light, [73, 22, 100], [96, 130, 170], 0.5);
  farHills(c, random, light, [74, 9, 60], [70, 132, 96], 0.25);
  water(c, random, scene, light, { top: 71, bottom: 108, disc });
  ridge(c, random, [107, 7, 180], surface(c, light, 100, [150, 196, 92], [70, 138, 58]));
}

function sea(c: Context2D, random: Random, light: Light, scene: Scene, disc: Disc): void {
  water(c, random, scene, light, { top: HORIZONS.sea, bottom: 110, disc });
  const foam = mix(under([250, 252, 255], light.ambient), light.haze, 0.1);
  const random2 = { phase: random.range(0, 6.3) };
  beach(c, random2.phase, 101.5, css(foam, 0.75));
  beach(c, random2.phase, 104, surface(c, light, 102, [246, 222, 166], [226, 188, 124]));
}

/** Land below one long wave. */
function beach(c: Context2D, phase: number, y: number, fill: string | object): void {
  c.beginPath();
  c.moveTo(-2, SIZE + 2);
  for (let x = -2; x <= SIZE + 2; x += 3) c.lineTo(x, y + 1.6 * Math.sin(x / 17 + phase));
  c.lineTo(SIZE + 2, SIZE + 2);
  c.closePath();
  c.fillStyle = fill;
  c.fill();
}

function desert(c: Context2D, random: Random, light: Light): void {
  farHills(c, random, light, [80, 20, 120], [206, 140, 104], 0.45);
  farHills(c, random, light, [86, 14, 90], [232, 178, 112], 0.2);
  ridge(c, random, [95, 11, 140], surface(c, light, 84, [248, 206, 132], [218, 158, 84]));
  ridge(c, random, [115, 8, 160], surface(c, light, 107, [242, 194, 116], [206, 142, 72]));
}

function snow(c: Context2D, random: Random, light: Light): void {
  farHills(c, random, light, [80, 24, 100], [172, 194, 226], 0.4);
  farHills(c, random, light, [85, 13, 84], [206, 222, 242], 0.25);
  ridge(c, random, [94, 9, 150], surface(c, light, 84, [234, 242, 252], [204, 220, 242]));
  ridge(c, random, [114, 6, 170], surface(c, light, 107, [244, 248, 254], [212, 226, 244]));
}

/** A peak with a snow cap, lit from the side of the disc. */
function peak(
  c: Context2D,
  [x, y, half, height]: readonly [number, number, number, number],
  [rock, cap]: readonly [Rgb, Rgb],
  fromLeft: boolean,
): void {
  const top = y - height;
  const shade = (colour: Rgb): Rgb => mix(colour, [30, 34, 80], 0.25);
  const face = (left: boolean, colour: Rgb): Rgb => (left === fromLeft ? colour : shade(colour));
  const ridgeX = x + half * 0.12;
  polygon(
    c,
    [
      [x - half, y],
      [x, top],
      [ridgeX, y],
    ],
    css(face(true, rock)),
  );
  polygon(
    c,
    [
      [ridgeX, y],
      [x, top],
      [x + half, y],
    ],
    css(face(false, rock)),
  );
  const s = 0.36;
  const [sy, sx] = [top + height * s, half * s];
  const mid = x + (ridgeX - x) * s;
  const dip = height * 0.09;
  polygon(
    c,
    [
      [x - sx, sy],
      [x, top],
      [mid, sy + dip * 0.4],
      [x - sx * 0.45, sy - dip],
    ],
    css(face(true, cap)),
  );
  polygon(
    c,
    [
      [mid, sy + dip * 0.4],
      [x, top],
      [x + sx, sy],
      [x + sx * 0.5, sy - dip],
    ],
    css(face(false, cap)),
  );
}

function mountains(c: Context2D, random: Random, light: Light, disc: Disc): void {
  const paint = (colour: Rgb, haze: number): Rgb =>
    mix(under(colour, light.ambient), light.haze, haze);
  const far = [paint([112, 128, 168], 0.4), paint([246, 248, 255], 0.25)] as const;
  const near = [paint([96, 110, 150], 0.2), paint([252, 253, 255], 0.08)] as const;
  const fromLeft = disc.x < SIZE / 2;
  const shift = random.range(-10, 10);
  for (const [x, half, height, pair] of [
    [14, 36, 34, far],
    [66, 38, 40, far],
    [116, 36, 32, far],
    [38, 34, 44, near],
    [94, 36, 47, near],
  ] as const) {
    const grown = random.range(0.88, 1.1);
    peak(c, [x + shift, 88, half * grown, height * grown], pair, fromLeft);
  }
  farHills(c, random, light, [90, 12, 70], [76, 132, 92], 0.25);
  ridge(c, random, [99, 8, 150], surface(c, light, 90, [138, 186, 88], [66, 134, 60]));
  ridge(c, random, [116, 6, 170], surface(c, light, 109, [118, 172, 76], [58, 122, 54]));
}

/** A row of blocks, each with a few windows that shine at night. */
function skyline(
  c: Context2D,
  random: Random,
  light: Light,
  [base, low, high]: readonly [number, number, number],
  colour: Rgb,
  lamps: number,
): void {
  for (let x = random.range(-8, 0); x < SIZE; ) {
    const width = random.range(9, 16);
    const top = base - random.range(low, high);
    c.fillStyle = linear(
      c,
      [0, top],
      [0, base],
      [
        [0, colour],
        [1, mix(colour, light.haze, 0.35)],
      ],
    );
    c.fillRect(x, top, width - 0.8, base - top);
    if (random.chance(0.35)) c.fillRect(x + width * 0.3, top - 4, width * 0.35, 5);
    for (let wy = top + 4; wy < base - 5; wy += 5) {
      for (const wx of [x + width * 0.25, x + width * 0.62]) {
        if (random.chance(0.55)) continue;
        c.fillStyle = css([255, 222, 140], lamps);
        c.fillRect(wx, wy, 2, 2.4);
      }
    }
    x += width;
  }
}

function city(c: Context2D, random: Random, light: Light): void {
  const far = mix(under([142, 156, 190], light.ambient), light.haze, 0.5);
  const near = mix(under([104, 116, 152], light.ambient), light.haze, 0.2);
  skyline(c, random, light, [90, 26, 50], far, light.lamps * 0.35);
  skyline(c, random, light, [92, 12, 34], near, light.lamps * 0.85);
  c.fillStyle = surface(c, light, 90, [176, 178, 188], [132, 134, 148]);
  c.fillRect(0, 90, SIZE, SIZE - 90);
  c.fillStyle = css(under([206, 206, 212], light.ambient));
  c.fillRect(0, 90, SIZE, 2.5);
}

/** The ground, and what lies far behind it. */
export function paintGround(
  c: Context2D,
  random: Random,
  scene: Scene,
  light: Light,
  disc: Disc,
): void {
  switch (scene.ground) {
    case "meadow":
      return meadow(c, random, light);
    case "lake":
      return lake(c, random, light, scene, disc);
    case "sea":
      return sea(c, random, light, scene, disc);
    case "desert":
      return desert(c, random, light);
    case "snow":
      return snow(c, random, light);
    case "mountains":
      return mountains(c, random, light, disc);
    case "city":
      return city(c, random, light);
  }
}
