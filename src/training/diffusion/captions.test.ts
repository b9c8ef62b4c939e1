import { expect, test } from "vitest";
import { randomFor } from "../random.js";
import { dropCaptions } from "./captions.js";

const CAPTIONS = Array.from({ length: 2000 }, (_, i) => `word${i} a pink  car on\nthe left`);
const WORDS = 7 * CAPTIONS.length;
const BASE = { conditioning: "text", captionDropout: 0, wordDropout: 0 } as const;
const random = (purpose: string) => randomFor(3, purpose, 5);

function words(captions: readonly string[]): number {
  return captions.flatMap((caption) => caption.split(" ").filter(Boolean)).length;
}

test("captions stay as they are where nothing is dropped", () => {
  expect(dropCaptions(CAPTIONS, BASE, random)).toEqual(CAPTIONS);
});

test("so many words are left out, the others stay in order", () => {
  const dropped = dropCaptions(CAPTIONS, { ...BASE, wordDropout: 0.25 }, random);
  expect(Math.abs(words(dropped) / WORDS - 0.75)).toBeLessThan(0.02);
  const order = ["a", "pink", "car", "on", "the", "left"];
  for (const [i, caption] of dropped.entries()) {
    const left = caption.split(" ").filter(Boolean);
    const places = left.map((word) => (word === `word${i}` ? -1 : order.indexOf(word)));
    expect(places).toEqual(places.toSorted((a, b) => a - b));
  }
  for (const word of ["pink", "left"]) {
    const having = dropped.filter((caption) => caption.split(" ").includes(word)).length;
    expect(Math.abs(having / CAPTIONS.length - 0.75)).toBeLessThan(0.05);
  }
});

test("so many captions are empty, whatever words are left out", () => {
  const some = { ...BASE, captionDropout: 0.1 };
  const empty = (all: readonly string[]) => all.map((caption) => caption === "");
  const whole = dropCaptions(CAPTIONS, some, random);
  expect(Math.abs(empty(whole).filter(Boolean).length / CAPTIONS.length - 0.1)).toBeLessThan(0.03);
  expect(empty(dropCaptions(CAPTIONS, { ...some, wordDropout: 0.1 }, random))).toEqual(
    empty(whole),
  );
  expect(words(dropCaptions(CAPTIONS, { ...BASE, wordDropout: 1 }, random))).toBe(0);
});

test("every caption is empty without conditioning", () => {
  const none = dropCaptions(CAPTIONS, { ...BASE, conditioning: "none" }, random);
  expect(new Set(none)).toEqual(new Set([""]));
});
