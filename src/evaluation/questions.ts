import {
  COLOURS,
  GROUNDS,
  KINDS,
  type Kind,
  MOONS,
  type Scene,
  SIDES,
  TIMES,
  WEATHERS,
} from "../postcards/world.js";

/*
 * What the judge is asked about a postcard. The order of answers is that of its logits; an answer is
 * its index.
 */

export const SCENE_QUESTION_NAMES = ["time", "weather", "moon", "ground"] as const;
export type SceneQuestion = (typeof SCENE_QUESTION_NAMES)[number];

/** About the whole picture. */
export const SCENE_QUESTIONS: Readonly<Record<SceneQuestion, readonly string[]>> = {
  time: TIMES,
  weather: WEATHERS,
  moon: ["none", ...MOONS],
  ground: GROUNDS,
};

export const KIND_QUESTION_NAMES = ["count", "colour", "side"] as const;
export type KindQuestion = (typeof KIND_QUESTION_NAMES)[number];

/** About each kind of thing. */
export const KIND_QUESTIONS: Readonly<Record<KindQuestion, readonly string[]>> = {
  count: ["0", "1", "2", "3"],
  colour: COLOURS,
  side: SIDES,
};

/** An answer to every question; NO_ANSWER where a question makes no sense. */
export interface Answers {
  readonly scene: Readonly<Record<SceneQuestion, number>>;
  readonly kinds: Readonly<Record<Kind, Readonly<Record<KindQuestion, number>>>>;
}

/** The colour of a thing that is not there, or of a tree. */
export const NO_ANSWER = -1;

const ABSENT = { count: 0, colour: NO_ANSWER, side: NO_ANSWER };

/** The right answers about a scene. */
export function answersTo(scene: Scene): Answers {
  const { time, weather, moon, ground } = scene;
  const kinds = KINDS.map((kind) => {
    const group = scene.groups.find((g) => g.kind === kind);
    if (group === undefined) return [kind, ABSENT] as const;
    const colour = group.colour === undefined ? NO_ANSWER : COLOURS.indexOf(group.colour);
    return [kind, { count: group.count, colour, side: SIDES.indexOf(group.side) }] as const;
  });
  return {
    scene: {
      time: TIMES.indexOf(time),
      weather: WEATHERS.indexOf(weather),
      moon: SCENE_QUESTIONS.moon.indexOf(moon ?? "none"),
      ground: GROUNDS.indexOf(ground),
    },
    kinds: Object.fromEntries(kinds) as Answers["kinds"],
  };
}
