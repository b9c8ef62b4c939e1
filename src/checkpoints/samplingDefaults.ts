import { configReader, type JsonObject, jsonObject } from "./configReader.js";
import type { SamplingDefaults } from "./types.js";

/*
 * Settings that a model recommends: steps, guidanceScale and sampler under `_tintype` in its
 * model_index.json. diffusers passes over keys that begin with "_" (ConfigMixin.extract_init_dict).
 */

const KEY = "_tintype";

/** The settings in a model_index.json. Throws "bad-file" naming the one that is no such thing. */
export function samplingDefaultsOf(index: JsonObject, file: string): SamplingDefaults {
  const own = index[KEY];
  if (own === undefined || own === null) return {};
  const json = jsonObject(own, `${file}: ${KEY}`);
  const { int, number, text } = configReader(json, `${file}: ${KEY}`);
  const given = <T>(key: string, read: () => T): T | undefined =>
    json[key] === undefined || json[key] === null ? undefined : read();
  return {
    steps: given("steps", () => int("steps", 1)),
    guidanceScale: given("guidanceScale", () => number("guidanceScale", 1)),
    sampler: given("sampler", () => text("sampler", "")),
  };
}

/** model_index.json with settings in it; as it was where there are none. */
export function withSamplingDefaults(index: JsonObject, defaults: SamplingDefaults): JsonObject {
  const told = Object.entries(defaults).filter(([, value]) => value !== undefined);
  return told.length === 0 ? index : { ...index, [KEY]: Object.fromEntries(told) };
}
