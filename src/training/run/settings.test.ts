import { expect, test } from "vitest";
import { withSettings } from "./settings.js";

const set = (json: unknown, ...settings: readonly string[]): unknown =>
  withSettings(json, settings, "--set");

test("values are JSON, else text", () => {
  expect(
    set({}, "a=1e-4", "b=true", "c=null", "d=[1, 2]", "e=adamw", 'f="7"', "g=a=b", "h="),
  ).toEqual({ a: 1e-4, b: true, c: null, d: [1, 2], e: "adamw", f: "7", g: "a=b", h: "" });
});

test("keys are paths, and what they lead through is kept or made", () => {
  const json = { rate: { peak: 1, warmup: 2 }, prompts: ["a", "b"] };
  const changed = { rate: { peak: 3, warmup: 2 }, prompts: ["a", "c", "d"], ema: { decay: 0.9 } };
  expect(set(json, "rate.peak=3", "prompts.1=c", "prompts.2=d", "ema.decay=0.9")).toEqual(changed);
  expect(json.rate.peak).toBe(1);
  expect(set({ ema: null }, "ema.decay=0.9")).toEqual({ ema: { decay: 0.9 } });
});

test("a name that every object has is a key like any other", () => {
  const made = set({}, "constructor.prototype.steps=1", "__proto__.steps=2") as object;
  expect(Object.keys(made)).toEqual(["constructor", "__proto__"]);
  expect(({} as { steps?: number }).steps).toBeUndefined();
});

test.each([
  ["steps", '--set: expected KEY=VALUE, such as learningRate.peak=1e-4, got "steps".'],
  ["=3", '--set: expected KEY=VALUE, such as learningRate.peak=1e-4, got "=3".'],
  ["a..b=3", '--set: expected KEY=VALUE, such as learningRate.peak=1e-4, got "a..b=3".'],
  ["steps.more=3", '--set: there is no "more" in 10.'],
  ["seeds.5=3", '--set: there is no "5" in a list of 2.'],
  ["seeds.first=3", '--set: there is no "first" in a list of 2.'],
])("%s is refused", (setting, message) => {
  expect(() => set({ steps: 10, seeds: [1, 2] }, setting)).toThrow(message);
});
