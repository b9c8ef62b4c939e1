import { type Random, seededRandom } from "./random.js";
import {
  GROUND_NOUNS,
  IN_THE_AIR,
  LEADS,
  MOONS_SAID,
  NOUNS,
  NUMBERS,
  ON_LAND,
  ON_WATER,
  SIDES_SAID,
  STARS_SAID,
  TIME_NOUNS,
  TIMES_SAID,
  WEATHER_NOUNS,
  WEATHERS_SAID,
} from "./words.js";
import {
  type Colour,
  type Count,
  type Ground,
  type Group,
  KIND_FACTS,
  type Kind,
  type Moon,
  type Scene,
  type Side,
  type Time,
  type Weather,
} from "./world.js";

/** The most tokens that a caption has, start and end included: each word or mark is one. */
export const CAPTION_TOKENS = 32;

/** What a text says of one group; what it leaves open is undefined. */
export interface SaidGroup {
  readonly kind: Kind;
  readonly count: Count;
  readonly colour: Colour | undefined;
  readonly side: Side | undefined;
}

/** What a text says of a scene; what it leaves open is undefined. */
export interface Said {
  readonly time: Time | undefined;
  readonly weather: Weather | undefined;
  readonly moon: Moon | undefined;
  readonly ground: Ground | undefined;
  /** Every group of the scene, the left one first. */
  readonly groups: readonly SaidGroup[];
}

/** A text, and what it says: always true of the scene that it is made for. */
export interface Caption {
  readonly text: string;
  readonly says: Said;
}

/** Which attributes a caption is going to say. */
interface Plan {
  readonly time: boolean;
  readonly weather: boolean;
  readonly moon: boolean;
  readonly ground: boolean;
  readonly side: boolean;
  /** By group. */
  readonly colours: readonly boolean[];
}

/** "two red houses", "a pine tree". */
function thingsSaid(random: Random, group: Group, coloured: boolean): string {
  const [one, many] = random.pick(NOUNS[group.kind]);
  const number = random.pick(NUMBERS[group.count]);
  const noun = group.count === 1 ? one : many;
  const said = [number, coloured ? group.colour : undefined, noun].filter(Boolean).join(" ");
  return said.replace(/^a (?=[aeiou])/, "an ");
}

/** The groups in words, with their sides where they are to be said. */
function groupsSaid(random: Random, { groups }: Scene, plan: Plan): string {
  const [first, second] = groups.map((g, i) => thingsSaid(random, g, plan.colours[i]!));
  if (second === undefined) {
    return plan.side ? `${first} ${random.pick(SIDES_SAID[groups[0].side])}` : first!;
  }
  if (!plan.side) {
    const [a, b] = random.chance(0.5) ? [first, second] : [second, first];
    return `${a} ${random.pick(["and", "and", "beside", "with", "next to", "near"])} ${b}`;
  }
  return random.pick([
    () => `${first} ${random.pick(["left of", "to the left of"])} ${second}`,
    () => `${second} ${random.pick(["right of", "to the right of"])} ${first}`,
    () => `${first} on the left and ${second} on the right`,
    () => `${second} on the right and ${first} on the left`,
  ])();
}

/** "beside a lake", "on a lake", "over a lake": as the things stand, float or fly. */
function groundSaid(random: Random, { ground, groups }: Scene): string {
  const places = new Set(groups.map(({ kind }) => KIND_FACTS[kind].place));
  if (places.size > 1) return random.pick(ON_LAND[ground].slice(0, 2));
  if (places.has("land")) return random.pick(ON_LAND[ground]);
  return random.pick((places.has("water") ? ON_WATER[ground] : IN_THE_AIR[ground])!);
}

/** "under a full moon", "and a cloudy sky": the moon, and the stars or the weather. */
function skySaid(random: Random, { time, weather, moon }: Scene, plan: Plan): string[] {
  const said = [];
  if (plan.moon && moon !== undefined) said.push(random.pick(MOONS_SAID[moon]));
  if (plan.weather) {
    // Stars are the night and its clear sky in one, so only where both are to be said.
    const stars = plan.time && time === "night" && weather === "clear" && random.chance(0.6);
    said.push(random.pick(stars ? STARS_SAID : WEATHERS_SAID[weather]));
  }
  return said.map((phrase, i) => (i > 0 ? phrase.replace(/^(under|with)/, "and") : phrase));
}

/** One sentence: "a red house left of two pine trees beside a lake at sunset". */
function sentence(random: Random, scene: Scene, plan: Plan): string {
  const things = groupsSaid(random, scene, plan);
  const ground = plan.ground ? [groundSaid(random, scene)] : [];
  const time = plan.time ? [random.pick(TIMES_SAID[scene.time])] : [];
  const sky = skySaid(random, scene, plan);
  const form = random.next();
  if (form < 0.15 && plan.time) return `${time[0]}, ${[things, ...ground, ...sky].join(" ")}`;
  if (form < 0.25 && plan.ground) return `${ground[0]}, ${[things, ...time, ...sky].join(" ")}`;
  const behind = random.chance(0.6) ? [...ground, ...time, ...sky] : [...ground, ...sky, ...time];
  return `${random.pick(LEADS)}${[things, ...behind].join(" ")}`;
}

/** A list: "night. a yellow car, desert, clear sky". */
function list(random: Random, scene: Scene, plan: Plan): string {
  const { time, weather, moon, ground } = scene;
  const parts = [groupsSaid(random, scene, plan)];
  if (plan.ground) parts.push(random.pick(GROUND_NOUNS[ground]));
  if (plan.weather) parts.push(random.pick(WEATHER_NOUNS[weather]));
  if (plan.moon && moon !== undefined) parts.push(`${moon} moon`);
  if (!plan.time) return parts.join(", ");
  const noun = random.pick(TIME_NOUNS[time]);
  return random.chance(0.4) ? `${noun}. ${parts.join(", ")}` : [...parts, noun].join(", ");
}

/** What a text made by this plan says. */
function saidBy({ time, weather, moon, ground, groups }: Scene, plan: Plan): Said {
  return {
    time: plan.time ? time : undefined,
    weather: plan.weather ? weather : undefined,
    moon: plan.moon ? moon : undefined,
    ground: plan.ground ? ground : undefined,
    groups: groups.map(({ kind, count, colour, side }, i) => ({
      kind,
      count,
      colour: plan.colours[i] ? colour : undefined,
      side: plan.side ? side : undefined,
    })),
  };
}

/** The most words and marks of a caption: with start and end, what a model reads. */
const LONGEST = CAPTION_TOKENS - 2;

/** Random words for what a plan says; words are drawn again where they are too many. */
function spoken(random: Random, scene: Scene, plan: Plan): Caption {
  for (;;) {
    const text = (random.chance(0.8) ? sentence : list)(random, scene, plan);
    const length = text.match(/\w+|[^\w\s]/g)!.length;
    if (length <= LONGEST) return { text, says: saidBy(scene, plan) };
  }
}

/**
 * A caption of a scene, in lower case, which varies with `seed`, an integer in [0, 2^32): words,
 * order, and what it says. It names every group with its count, and leaves out other things.
 */
export function captionOf(scene: Scene, seed: number): Caption {
  const random = seededRandom(seed, "caption");
  const alone = scene.groups.length === 1;
  return spoken(random, scene, {
    time: random.chance(0.85),
    weather: random.chance(0.5),
    moon: random.chance(0.5),
    ground: random.chance(0.85),
    side: random.chance(alone ? 0.5 : 0.75),
    colours: scene.groups.map(() => random.chance(0.92)),
  });
}

/**
 * A caption that says time, ground, colours and sides, and the weather and the moon every second
 * time: what is asked of a model that is measured.
 */
export function askingCaption(scene: Scene, seed: number): Caption {
  const random = seededRandom(seed, "caption");
  return spoken(random, scene, {
    time: true,
    weather: random.chance(0.5),
    moon: random.chance(0.5),
    ground: true,
    side: true,
    colours: scene.groups.map(() => true),
  });
}

/** Takes the first of everything, and no rarer turn. */
const FIRST: Random = {
  next: () => 0.5,
  range: (low) => low,
  pick: (items) => items[0]!,
  chance: (probability) => probability > 0.5,
};

/** The plainest text that says everything. */
export function fullPrompt(scene: Scene): string {
  const everything = { time: true, weather: true, moon: true, ground: true, side: true };
  return sentence(FIRST, scene, { ...everything, colours: scene.groups.map(() => true) });
}
