/*
 * The world of the postcards: everything that a scene may hold. No drawing here: a scene is what
 * the painter paints, the captions say and the judge looks for.
 */

export const TIMES = ["dawn", "day", "sunset", "night"] as const;
export type Time = (typeof TIMES)[number];

export const WEATHERS = ["clear", "cloudy", "rainbow"] as const;
export type Weather = (typeof WEATHERS)[number];

export const MOONS = ["full", "crescent"] as const;
export type Moon = (typeof MOONS)[number];

export const GROUNDS = ["meadow", "lake", "sea", "desert", "snow", "mountains", "city"] as const;
export type Ground = (typeof GROUNDS)[number];

export const COLOURS = [
  "red",
  "orange",
  "yellow",
  "green",
  "blue",
  "purple",
  "pink",
  "white",
] as const;
export type Colour = (typeof COLOURS)[number];

export const KINDS = [
  "house",
  "tent",
  "car",
  "balloon",
  "sailboat",
  "lighthouse",
  "tower",
  "tree",
  "pine",
  "palm",
  "cactus",
  "snowman",
] as const;
export type Kind = (typeof KINDS)[number];

export const COUNTS = [1, 2, 3] as const;
export type Count = (typeof COUNTS)[number];

export const SIDES = ["left", "middle", "right"] as const;
export type Side = (typeof SIDES)[number];

export const STYLES = ["soft"] as const;
export type Style = (typeof STYLES)[number];

/** Where a kind of thing is: on land, on water, or in the air. */
export type Place = "land" | "water" | "sky";

/** What holds for every thing of a kind. */
export interface KindFacts {
  readonly place: Place;
  /** Whether its colour is a choice; otherwise it has its natural one. */
  readonly coloured: boolean;
  /** The grounds that it may be on, or over. */
  readonly grounds: readonly Ground[];
}

export const KIND_FACTS: Readonly<Record<Kind, KindFacts>> = {
  house: { place: "land", coloured: true, grounds: GROUNDS },
  tent: {
    place: "land",
    coloured: true,
    grounds: ["meadow", "lake", "sea", "desert", "snow", "mountains"],
  },
  car: { place: "land", coloured: true, grounds: GROUNDS },
  balloon: { place: "sky", coloured: true, grounds: GROUNDS },
  sailboat: { place: "water", coloured: true, grounds: ["lake", "sea"] },
  lighthouse: { place: "land", coloured: true, grounds: ["lake", "sea"] },
  tower: { place: "land", coloured: true, grounds: ["meadow", "desert", "snow", "city"] },
  tree: { place: "land", coloured: false, grounds: ["meadow", "lake", "mountains", "city"] },
  pine: { place: "land", coloured: false, grounds: ["meadow", "lake", "snow", "mountains"] },
  palm: { place: "land", coloured: false, grounds: ["sea", "desert"] },
  cactus: { place: "land", coloured: false, grounds: ["desert"] },
  snowman: { place: "land", coloured: false, grounds: ["snow"] },
};

/** One to three things of a kind and colour, side by side. */
export interface Group {
  readonly kind: Kind;
  /** Undefined exactly where the kind has its natural colour. */
  readonly colour: Colour | undefined;
  readonly count: Count;
  /** Where in the picture; of two groups, which one this is: "left" or "right". */
  readonly side: Side;
}

/** One postcard. Of two groups, of different kinds, the left one comes first. */
export interface Scene {
  /** Decides everything that no attribute names: the shapes of hills and clouds, exact places. */
  readonly seed: number;
  readonly style: Style;
  readonly time: Time;
  readonly weather: Weather;
  /** Undefined exactly where it is not night. */
  readonly moon: Moon | undefined;
  readonly ground: Ground;
  readonly groups: readonly [Group] | readonly [left: Group, right: Group];
}

/** The weather that a time of day may have: a rainbow needs the sun. */
export function weathersOf(time: Time): readonly Weather[] {
  return time === "night" ? ["clear", "cloudy"] : WEATHERS;
}

/** The kinds that may be on a ground. */
export function kindsOn(ground: Ground): readonly Kind[] {
  return KINDS.filter((kind) => KIND_FACTS[kind].grounds.includes(ground));
}
