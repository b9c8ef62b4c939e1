/*
 * How the postcards' captions say each thing: what stands twice in a list is said twice as often.
 */
import type { Count, Ground, Kind, Moon, Side, Time, Weather } from "./world.js";

export const NOUNS: Readonly<Record<Kind, readonly (readonly [one: string, many: string])[]>> = {
  house: [
    ["house", "houses"],
    ["house", "houses"],
    ["cottage", "cottages"],
  ],
  tent: [["tent", "tents"]],
  car: [["car", "cars"]],
  balloon: [
    ["hot-air balloon", "hot-air balloons"],
    ["hot air balloon", "hot air balloons"],
    ["balloon", "balloons"],
  ],
  sailboat: [
    ["sailboat", "sailboats"],
    ["sailboat", "sailboats"],
    ["sailing boat", "sailing boats"],
  ],
  lighthouse: [["lighthouse", "lighthouses"]],
  tower: [
    ["tower", "towers"],
    ["futuristic tower", "futuristic towers"],
  ],
  tree: [
    ["tree", "trees"],
    ["round tree", "round trees"],
    ["leafy tree", "leafy trees"],
  ],
  pine: [
    ["pine tree", "pine trees"],
    ["pine", "pines"],
    ["fir tree", "fir trees"],
  ],
  palm: [
    ["palm tree", "palm trees"],
    ["palm", "palms"],
  ],
  cactus: [
    ["cactus", "cacti"],
    ["cactus", "cactuses"],
  ],
  snowman: [["snowman", "snowmen"]],
};

export const NUMBERS: Readonly<Record<Count, readonly string[]>> = {
  1: ["a", "a", "a", "one"],
  2: ["two"],
  3: ["three"],
};

/** Where something on land is; the first two also hold where something else floats or flies. */
export const ON_LAND: Readonly<Record<Ground, readonly string[]>> = {
  meadow: ["in a meadow", "among hills", "on a meadow", "in the grass"],
  lake: ["beside a lake", "by a lake", "at a lake", "on the shore of a lake", "by a quiet lake"],
  sea: ["by the sea", "at the sea", "beside the sea", "on the beach", "at the seaside"],
  desert: ["in the desert", "in a desert", "among sand dunes", "on desert sand"],
  snow: ["in the snow", "in a snowy landscape", "on a snowy field", "on snow"],
  mountains: [
    "in the mountains",
    "in front of mountains",
    "below mountain peaks",
    "in front of high mountains",
  ],
  city: ["in a city", "in front of a city skyline", "in the city", "in front of skyscrapers"],
};

export const ON_WATER: Readonly<Partial<Record<Ground, readonly string[]>>> = {
  lake: ["on a lake", "on a calm lake", "on a quiet lake", "on the water of a lake"],
  sea: ["on the sea", "at sea", "on the calm sea", "on the ocean"],
};

export const IN_THE_AIR: Readonly<Record<Ground, readonly string[]>> = {
  meadow: ["over a meadow", "above hills", "above a meadow"],
  lake: ["over a lake", "above a lake", "over a quiet lake"],
  sea: ["over the sea", "above the sea", "over the beach"],
  desert: ["over the desert", "above the desert", "above sand dunes"],
  snow: ["over the snow", "above a snowy field", "over a snowy landscape"],
  mountains: ["over the mountains", "above the mountains", "in front of mountains"],
  city: ["over a city", "above the city", "in front of a city skyline"],
};

/** Ground as a bare noun, for captions that are lists. */
export const GROUND_NOUNS: Readonly<Record<Ground, readonly string[]>> = {
  meadow: ["meadow", "meadow", "hills"],
  lake: ["lake", "calm lake"],
  sea: ["sea", "beach", "sea and beach"],
  desert: ["desert", "sand dunes"],
  snow: ["snow", "snowy landscape"],
  mountains: ["mountains", "mountain peaks"],
  city: ["city", "city skyline"],
};

export const TIMES_SAID: Readonly<Record<Time, readonly string[]>> = {
  dawn: ["at dawn", "at dawn", "at sunrise", "in the early morning"],
  day: ["by day", "during the day", "in daylight", "at noon"],
  sunset: ["at sunset", "at sunset", "at dusk", "in the evening"],
  night: ["at night", "at night", "by night", "in the dark"],
};

export const TIME_NOUNS: Readonly<Record<Time, readonly string[]>> = {
  dawn: ["dawn", "sunrise", "early morning"],
  day: ["day", "daylight", "noon"],
  sunset: ["sunset", "dusk", "evening"],
  night: ["night"],
};

export const WEATHERS_SAID: Readonly<Record<Weather, readonly string[]>> = {
  clear: ["under a clear sky", "with a clear sky", "under a cloudless sky"],
  cloudy: ["under a cloudy sky", "with a cloudy sky", "under clouds", "with clouds in the sky"],
  rainbow: ["under a rainbow", "with a rainbow", "with a rainbow in the sky"],
};

export const WEATHER_NOUNS: Readonly<Record<Weather, readonly string[]>> = {
  clear: ["clear sky", "cloudless sky"],
  cloudy: ["cloudy sky", "clouds", "cloudy"],
  rainbow: ["rainbow", "a rainbow"],
};

export const MOONS_SAID: Readonly<Record<Moon, readonly string[]>> = {
  full: ["under a full moon", "with a full moon", "under the full moon"],
  crescent: ["under a crescent moon", "with a crescent moon", "under the crescent moon"],
};

export const SIDES_SAID: Readonly<Record<Side, readonly string[]>> = {
  left: ["on the left", "on the left side", "at the left"],
  middle: ["in the middle", "in the center"],
  right: ["on the right", "on the right side", "at the right"],
};

export const STARS_SAID: readonly string[] = [
  "under the stars",
  "under a starry sky",
  "with stars in the sky",
];

/** What a sentence may begin with. */
export const LEADS: readonly string[] = [...Array(7).fill(""), "a picture of ", "a postcard of "];
