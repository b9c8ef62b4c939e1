import { type Random, seededRandom } from "./random.js";
import { type Colour, type Group, KIND_FACTS, type Kind, type Scene } from "./world.js";

/** Width and height of a postcard in pixels. */
export const POSTCARD_SIZE = 128;

/** No thing is smaller than this in its larger direction, in pixels. */
export const LEAST_SIZE = 22;

/** A thing in its place: pixels from the top left. */
export interface Placed {
  readonly kind: Kind;
  readonly colour: Colour | undefined;
  /** Which group of the scene it belongs to. */
  readonly group: number;
  /** Its middle. */
  readonly x: number;
  /** Where it stands, floats or, for a balloon, where its basket ends. */
  readonly base: number;
  readonly width: number;
  readonly height: number;
}

/** Width and height of a kind, at the size that three of four in a row have. */
export const SHAPES: Readonly<Record<Kind, readonly [width: number, height: number]>> = {
  house: [26, 27],
  tent: [27, 21],
  car: [28, 16],
  balloon: [24, 32],
  sailboat: [25, 30],
  lighthouse: [17, 42],
  tower: [21, 48],
  tree: [26, 34],
  pine: [22, 38],
  palm: [26, 38],
  cactus: [21, 30],
  snowman: [18, 29],
};

/** The largest height of a thing by its place, so that the sky above stays open. */
const TALLEST = { land: 62, water: 50, sky: 48 } as const;

/** The strips of the picture that each group has for itself: left and right edges. */
function strips(groups: readonly Group[]): readonly (readonly [number, number])[] {
  const [first, second] = groups;
  if (second !== undefined) {
    // In proportion to the counts, with a little more for the one that is alone.
    const cut = 4 + (120 * (first!.count + 0.3)) / (first!.count + second.count + 0.6);
    return [
      [4, cut - 2],
      [cut + 2, 124],
    ];
  }
  const { count, side } = first!;
  const width = { 1: 46, 2: side === "middle" ? 76 : 62, 3: 112 }[count];
  const left = { left: 5, middle: (POSTCARD_SIZE - width) / 2, right: 123 - width }[side];
  return [[left, left + width]];
}

/** Where things of a place stand: nearer ones lower. near in [0, 1]. */
function baseline(place: "land" | "water" | "sky", near: number): number {
  return { land: 106 + 12 * near, water: 87 + 8 * near, sky: 68 + 10 * near }[place];
}

function placeGroup(
  random: Random,
  group: Group,
  index: number,
  strip: readonly [number, number],
): Placed[] {
  const { kind, colour, count } = group;
  const { place } = KIND_FACTS[kind];
  const [width, height] = SHAPES[kind];
  const slot = (strip[1] - strip[0]) / count;
  // A gap on both sides of each thing keeps the count plain.
  const largest = Math.min((slot - 3) / width, TALLEST[place] / height, 1.75);
  const least = Math.max(LEAST_SIZE / Math.max(width, height), largest * 0.82);
  const common = random.range(least, largest);
  return Array.from({ length: count }, (_, i) => {
    const scale = Math.min(Math.max(common * random.range(0.94, 1.06), least), largest);
    const room = slot - 3 - width * scale;
    const x = strip[0] + slot * (i + 0.5) + room * random.range(-0.5, 0.5) * 0.8;
    const near = random.next();
    const stands = baseline(place, near) - (place === "sky" ? random.range(0, 18) : 0);
    // Three balloons leave no gap for the moon between them, so they leave room above.
    const base = place === "sky" && count === 3 ? Math.max(stands, height * scale + 27) : stands;
    return { kind, colour, group: index, x, base, width: width * scale, height: height * scale };
  });
}

/** The places of all things of a scene: apart from each other, whole inside the picture. */
export function layoutOf(scene: Scene): readonly Placed[] {
  const random = seededRandom(scene.seed, "layout");
  const all = strips(scene.groups);
  return scene.groups.flatMap((group, i) => placeGroup(random, group, i, all[i]!));
}
