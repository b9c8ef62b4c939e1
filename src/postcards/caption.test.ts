import { describe, expect, it } from "vitest";
import { clipTokenizerFiles, loadTokenizer } from "../text/index.js";
import {
  askingCaption,
  CAPTION_TOKENS,
  COLOURS,
  captionMerges,
  captionOf,
  captions,
  fullPrompt,
  type Said,
  type Scene,
  sceneOf,
} from "./index.js";

const N = 1500;
const scenes: readonly Scene[] = Array.from({ length: N }, (_, seed) => sceneOf(seed));

/** Words that give an attribute away, wherever they stand. */
const WORDS = {
  time: {
    dawn: /dawn|sunrise|early morning/,
    day: /\bday\b|daylight|noon/,
    sunset: /sunset|dusk|evening/,
    night: /night|dark\b|star/,
  },
  weather: { clear: /clear|cloudless|star/, cloudy: /cloudy|clouds/, rainbow: /rainbow/ },
  moon: { full: /full moon/, crescent: /crescent moon/ },
  ground: {
    meadow: /meadow|hills|grass/,
    lake: /lake/,
    sea: /\bsea\b|seaside|beach|ocean/,
    desert: /desert|dunes/,
    snow: /\bsnow\b|snowy/,
    mountains: /mountain/,
    city: /city|skyscrapers/,
  },
  kind: {
    house: /\bhouse|cottage/,
    tent: /tent/,
    car: /\bcars?\b/,
    balloon: /balloon/,
    sailboat: /sailboat|sailing boat/,
    lighthouse: /lighthouse/,
    tower: /tower/,
    tree: /(?<!pine |fir |palm )\btrees?\b/,
    pine: /pine|fir/,
    palm: /palm/,
    cactus: /cact/,
    snowman: /snowm/,
  },
} as const;

/** The values whose words a text holds. */
function found(text: string, words: Readonly<Record<string, RegExp>>): string[] {
  return Object.keys(words).filter((value) => words[value]!.test(text));
}

const listed = (value: string | undefined): string[] => (value === undefined ? [] : [value]);

/** Reads a text anew, by its words, and compares with what it is said to say. */
function expectSays(text: string, says: Said): void {
  for (const key of ["time", "weather", "moon", "ground"] as const) {
    expect(found(text, WORDS[key]), `${key}: ${text}`).toEqual(listed(says[key]));
  }
  expect(found(text, WORDS.kind).sort(), text).toEqual(says.groups.map((g) => g.kind).sort());
  const colours = COLOURS.filter((c) => new RegExp(`\\b${c}\\b`).test(text));
  const said = new Set(says.groups.flatMap((g) => listed(g.colour)));
  expect(colours.toSorted(), text).toEqual([...said].sort());
  const numbers = [...text.matchAll(/\b(one|two|three)\b/g)].map(([n]) => n);
  for (const n of numbers) {
    expect(says.groups.map((g) => ["one", "two", "three"][g.count - 1])).toContain(n);
  }
}

describe("captions", () => {
  it("say what they are said to say, and it is true", () => {
    for (const scene of scenes) {
      const { text, says } = captionOf(scene, scene.seed + 7);
      expectSays(text, says);
      for (const key of ["time", "weather", "moon", "ground"] as const) {
        expect([undefined, scene[key]]).toContain(says[key]);
      }
      says.groups.forEach((said, i) => {
        const group = scene.groups[i]!;
        expect(said).toMatchObject({ kind: group.kind, count: group.count });
        expect([undefined, group.colour]).toContain(said.colour);
        expect([undefined, group.side]).toContain(said.side);
      });
    }
  });

  it("name sides by which group stands first", () => {
    const two = scenes.filter((s) => s.groups.length === 2);
    let read = 0;
    for (const scene of two) {
      const { text, says } = askingCaption(scene, scene.seed);
      const [before, after] = text.split(/ (?:to the )?(?:left|right) of /);
      if (after === undefined) continue;
      read++;
      const [left, right] = says.groups.map((g) => WORDS.kind[g.kind]);
      const [first, second] = / left of /.test(text) ? [left, right] : [right, left];
      expect(first!.test(before!), text).toBe(true);
      expect(second!.test(after), text).toBe(true);
    }
    expect(read).toBeGreaterThan(250);
  });

  it("vary in words, order and length, and follow from the seed", () => {
    const scene = sceneOf(5);
    const texts = Array.from({ length: 200 }, (_, seed) => captionOf(scene, seed).text);
    expect(new Set(texts).size).toBeGreaterThan(150);
    expect(captionOf(scene, 3)).toEqual(captionOf(scene, 3));
    const lengths = texts.map((text) => text.length);
    expect(Math.max(...lengths)).toBeGreaterThan(2 * Math.min(...lengths));
  });

  it("are plain for a prompt that says everything", () => {
    const scene: Scene = {
      ...sceneOf(0),
      time: "night",
      weather: "cloudy",
      moon: "full",
      ground: "meadow",
      groups: [
        { kind: "house", colour: "orange", count: 1, side: "left" },
        { kind: "pine", colour: undefined, count: 2, side: "right" },
      ],
    };
    expect(fullPrompt(scene)).toBe(
      "an orange house left of two pine trees in a meadow at night under a full moon and a cloudy sky",
    );
    for (const scene of scenes) {
      const { time, weather, moon, ground, groups } = scene;
      expectSays(fullPrompt(scene), { time, weather, moon, ground, groups });
    }
  });

  it("know the first prompt that people try", () => {
    const seen = new Set<string>();
    const scene: Scene = {
      ...sceneOf(0),
      time: "sunset",
      weather: "clear",
      moon: undefined,
      ground: "lake",
      groups: [{ kind: "house", colour: "red", count: 1, side: "left" }],
    };
    for (let seed = 0; seed < 3000; seed++) seen.add(captionOf(scene, seed).text);
    expect(seen).toContain("a red house beside a lake at sunset");
  });
});

describe("the captions' vocabulary", () => {
  const files = clipTokenizerFiles(captionMerges(), CAPTION_TOKENS);
  const { encode, maxLength, vocabSize } = loadTokenizer({
    vocab: JSON.parse(files["vocab.json"]),
    merges: files["merges.txt"],
    tokenizerConfig: JSON.parse(files["tokenizer_config.json"]),
  });

  it("has a token for each word and fits each caption", () => {
    expect(maxLength).toBe(CAPTION_TOKENS);
    expect(vocabSize).toBeLessThan(1000);
    const words = new Set([...captions(20_000)].flatMap((text) => text.match(/[a-z]+/g)!));
    expect(words.size).toBeGreaterThan(100);
    expect([...words].filter((word) => encode(word).length !== 3)).toEqual([]);
    const long = scenes.flatMap((s) => [
      captionOf(s, s.seed).text,
      askingCaption(s, s.seed).text,
      fullPrompt(s),
    ]);
    expect(long.filter((text) => encode(text).truncated !== undefined)).toEqual([]);
  });
});
