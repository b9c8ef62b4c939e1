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
  const at = (depth: number, haze: number): Rgb =>
    mix(under(mix(far, near, depth), light.ambient), light.haze, Math.max(haze, light.mist));
  return linear(c, [0, top], [0, SIZE], [0, at(0, 0.18)], [0.35, at(0.45, 0)], [1, at(1, 0)]);
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
  const fill = linear(c, [0, y - rise], [0, y + 6], [0, base], [1, mix(base, light.haze, 0.5)]);
  ridge(c, random, [y, rise, span], fill);
}

function meadow(c: Context2D, random: Random, light: Light): void {
  farHills(c, random, light, [79, 18, 110], [92, 150, 140], 0.55);
  farHills(c, random, light, [84, 13, 80], [104, 172, 92], 0.3);
  ridge(c, random, [93, 9, 150], surface(c, light, 84, [150, 204, 88], [72, 148, 56]));
  ridge(c, random, [114, 7, 170], surface(c, light, 106, [124, 186, 72], [60, 132, 50]));
}

/** What waters need: where the sun or moon is mirrored, and what floats on them. */
interface Waterside {
  readonly disc: Disc;
  readonly afloat: () => void;
}

/** Water from `top` to `bottom`: the sky upside down, darker, with the glitter of the disc. */
function water(
  c: Context2D,
  random: Random,
  scene: Scene,
  light: Light,
  { top, bottom, disc }: { readonly top: number; readonly bottom: number; readonly disc: Disc },
): void {
  c.fillStyle = linear(
    c,
    [0, top],
    [0, bottom],
    [0, mix(light.sky[2], light.water, 0.4)],
    [0.5, mix(light.sky[1], light.water, 0.55)],
    [1, mix(light.sky[0], light.water, 0.75)],
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

function lake(
  c: Context2D,
  random: Random,
  scene: Scene,
  light: Light,
  { disc, afloat }: Waterside,
): void {
  farHills(c, random, light, [73, 22, 100], [96, 130, 170], 0.5);
  farHills(c, random, light, [74, 9, 60], [70, 132, 96], 0.25);
  water(c, random, scene, light, { top: 71, bottom: 108, disc });
  afloat();
  ridge(c, random, [107, 7, 180], surface(c, light, 100, [150, 196, 92], [70, 138, 58]));
}

function sea(
  c: Context2D,
  random: Random,
  scene: Scene,
  light: Light,
  { disc, afloat }: Waterside,
): void {
  water(c, random, scene, light, { top: HORIZONS.sea, bottom: 110, disc });
  afloat();
  const foam = mix(under([250, 252, 255], light.ambient), light.haze, 0.1);
  const phase = random.range(0, 6.3);
  beach(c, phase, 101.5, css(foam, 0.75));
  beach(c, phase, 104, surface(c, light, 102, [246, 222, 166], [226, 188, 124]));
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
  ridge(c, random, [95, 11, 140], surface(c, light, 84, [249, 212, 150], [220, 170, 108]));
  ridge(c, random, [115, 8, 160], surface(c, light, 107, [244, 204, 142], [210, 158, 100]));
}

/** Snow throws light back whatever its colour. */
function bright(light: Light): Light {
  return { ...light, ambient: mix(light.ambient, [1, 1, 1], light.lamps === 1 ? 0.1 : 0.35) };
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
  polygon(c, css(face(true, rock)), [x - half, y], [x, top], [ridgeX, y]);
  polygon(c, css(face(false, rock)), [ridgeX, y], [x, top], [x + half, y]);
  const s = 0.36;
  const [sy, sx] = [top + height * s, half * s];
  const mid = x + (ridgeX - x) * s;
  const dip = height * 0.09;
  polygon(
    c,
    css(face(true, cap)),
    [x - sx, sy],
    [x, top],
    [mid, sy + dip * 0.4],
    [x - sx * 0.45, sy - dip],
  );
  polygon(
    c,
    css(face(false, cap)),
    [mid, sy + dip * 0.4],
    [x, top],
    [x + sx, sy],
    [x + sx * 0.5, sy - dip],
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
    [14, 42, 34, far],
    [66, 44, 40, far],
    [116, 42, 32, far],
    [38, 37, 44, near],
    [94, 39, 47, near],
  ] as const) {
    const grown = random.range(0.88, 1.1);
    peak(c, [x + shift, 92, half * grown, height * grown], pair, fromLeft);
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
    c.fillStyle = linear(c, [0, top], [0, base], [0, colour], [1, mix(colour, light.haze, 0.35)]);
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
  // A row of hedges, then the pavement.
  farHills(c, random, light, [94, 6, 26], [84, 146, 92], 0.12);
  c.fillStyle = surface(c, light, 92, [190, 188, 194], [138, 138, 152]);
  c.fillRect(0, 94, SIZE, SIZE - 94);
  c.fillStyle = css(under([222, 220, 220], light.ambient), 0.7);
  c.fillRect(0, 94, SIZE, 2);
}

/** The ground and what lies far behind it; `afloat` draws on the water before the shore is drawn. */
export function paintGround(
  c: Context2D,
  random: Random,
  scene: Scene,
  light: Light,
  { disc, afloat }: { readonly disc: Disc; readonly afloat: () => void },
): void {
  const draw: Readonly<Record<Ground, () => void>> = {
    meadow: () => meadow(c, random, light),
    lake: () => lake(c, random, scene, light, { disc, afloat }),
    sea: () => sea(c, random, scene, light, { disc, afloat }),
    desert: () => desert(c, random, light),
    snow: () => snow(c, random, bright(light)),
    mountains: () => mountains(c, random, light, disc),
    city: () => city(c, random, light),
  };
  draw[scene.ground]();
}
