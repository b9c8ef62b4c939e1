import { describe, expect, test } from "vitest";
import { askingCaption, captionOf } from "../postcards/caption.js";
import { heldOutScene, sceneOf } from "../postcards/scene.js";
import type { Kind, Scene } from "../postcards/world.js";
import { accuracyOf, checksOf, everythingSaid, paintedChecks } from "./checks.js";
import { type Answers, answersTo, type KindQuestion, type SceneQuestion } from "./questions.js";
import { inWords } from "./words.js";

const SCENE: Scene = {
  seed: 1,
  style: "soft",
  time: "night",
  weather: "clear",
  moon: "full",
  ground: "lake",
  groups: [
    { kind: "house", colour: "red", count: 1, side: "left" },
    { kind: "pine", colour: undefined, count: 2, side: "right" },
  ],
};
const TRUTH = answersTo(SCENE);

const ofKind = (kind: Kind, change: Partial<Record<KindQuestion, number>>): Answers => ({
  ...TRUTH,
  kinds: { ...TRUTH.kinds, [kind]: { ...TRUTH.kinds[kind], ...change } },
});
const ofScene = (question: SceneQuestion, answer: number): Answers => ({
  ...TRUTH,
  scene: { ...TRUTH.scene, [question]: answer },
});
const wrongIn = (seen: Answers): string[] =>
  checksOf(everythingSaid(SCENE), seen)
    .filter(({ right }) => !right)
    .map(({ attribute, said, seen }) => `${attribute}: ${said}, seen ${seen}`);

test("what captions say of a scene is right about that scene", () => {
  for (let seed = 0; seed < 300; seed++) {
    for (const scene of [sceneOf(seed), heldOutScene(seed)]) {
      const truth = answersTo(scene);
      for (const { text, says } of [captionOf(scene, seed), askingCaption(scene, seed)]) {
        const wrong = checksOf(says, truth).filter(({ right }) => !right);
        expect(wrong, text).toEqual([]);
      }
      expect(paintedChecks(scene, truth).every(({ right }) => right)).toBe(true);
    }
  }
});

describe("one thing that is wrong is told, and nothing else", () => {
  test.each([
    [ofKind("house", { colour: 4 }), "colour: red house, seen blue house"],
    [ofKind("pine", { count: 3 }), "count: 2 pine, seen 3 pine"],
    [ofKind("pine", { side: 0 }), "position: house left of pine, seen house left, pine left"],
    [ofScene("time", 1), "time: night, seen day"],
    [ofScene("weather", 2), "weather: clear, seen rainbow"],
    [ofScene("moon", 0), "moon: full moon, seen no moon"],
    [ofScene("ground", 2), "ground: lake, seen sea"],
  ])("%#", (seen, told) => {
    expect(wrongIn(seen)).toEqual([told]);
  });

  test("a thing that is not there has no colour, count or position either", () => {
    expect(wrongIn(ofKind("house", { count: 0 }))).toEqual([
      "object: house, seen no house",
      "count: 1 house, seen 0 house",
      "colour: red house, seen no house",
      "position: house left of pine, seen house nowhere, pine right",
    ]);
  });

  test("a thing that nobody asked for is no mistake in a prompt, but is one about a painted picture", () => {
    const seen = ofKind("car", { count: 1, colour: 0, side: 1 });
    expect(wrongIn(seen)).toEqual([]);
    const wrong = paintedChecks(SCENE, seen).filter(({ right }) => !right);
    expect(wrong).toEqual([
      { attribute: "object", said: "house, pine", seen: "house, car, pine", right: false },
    ]);
  });

  test("one group is on its side of the picture", () => {
    const alone: Scene = { ...SCENE, groups: [{ ...SCENE.groups[0], side: "middle" }] };
    const [check] = checksOf(everythingSaid(alone), TRUTH).filter(
      ({ attribute }) => attribute === "position",
    );
    expect(check).toEqual({
      attribute: "position",
      said: "house middle",
      seen: "house left",
      right: false,
    });
  });
});

test("what a prompt does not say is not checked", () => {
  const [group] = SCENE.groups;
  const says = { time: undefined, weather: undefined, moon: undefined, ground: undefined };
  const checks = checksOf(
    { ...says, groups: [{ ...group, colour: undefined, side: undefined }] },
    TRUTH,
  );
  expect(checks.map(({ attribute }) => attribute)).toEqual(["object", "count"]);
});

test("accuracies are shares of what was said, and of whole pictures", () => {
  const check = (attribute: "object" | "time", right: boolean) => ({
    ...{ attribute, right },
    ...{ said: "", seen: "" },
  });
  const pictures = [
    [check("object", true), check("object", false), check("time", true)],
    [check("object", true)],
    [check("object", true), check("time", true)],
  ];
  expect(accuracyOf(pictures)).toEqual({ object: 3 / 4, time: 1, all: 2 / 3 });
});

test("answers in words", () => {
  expect(inWords(TRUTH)).toBe("1 red house left, 2 pine right; night, clear, full moon, lake");
});
