import { COLOURS, KIND_FACTS, KINDS, SIDES } from "../postcards/world.js";
import { type Answers, SCENE_QUESTION_NAMES, SCENE_QUESTIONS } from "./questions.js";

/** Answers as a list that people read: "2 red house left, 1 pine right; night, clear, full moon, lake". */
export function inWords({ scene, kinds }: Answers): string {
  const things = KINDS.filter((kind) => kinds[kind].count > 0).map((kind) => {
    const { count, colour, side } = kinds[kind];
    const coloured = KIND_FACTS[kind].coloured ? COLOURS[colour] : undefined;
    return [count, coloured, kind, SIDES[side]].filter((word) => word !== undefined).join(" ");
  });
  const rest = SCENE_QUESTION_NAMES.map((question) => {
    const word = SCENE_QUESTIONS[question][scene[question]]!;
    return question === "moon" ? `${word === "none" ? "no" : word} moon` : word;
  });
  return `${things.length === 0 ? "nothing" : things.join(", ")}; ${rest.join(", ")}`;
}
