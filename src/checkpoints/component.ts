import type { StoredTensors } from "../tensor/stored.js";
import { counted } from "../util/counted.js";
import { TintypeError } from "../util/errors.js";
import { few } from "../util/few.js";
import { show } from "./configReader.js";
import { type KeyRule, keyMap, mapKeys } from "./keyMap.js";
import type { Component } from "./types.js";

/** A component, and the keys of it that its map does not know. */
export interface Extracted<C> {
  readonly component: Component<C>;
  readonly unknown: readonly string[];
}

/** The component that `rules` name canonically; `key` puts back what was cut off the file's keys. */
export function extract<C>(
  config: C,
  tensors: StoredTensors,
  rules: readonly KeyRule[],
  file: string,
  key: (rest: string) => string,
): Extracted<C> {
  const map = keyMap(rules);
  const { weights, unknown } = mapKeys(map, tensors);
  const fileKey = (name: string) => key(map.toTheirs(name)?.name ?? name);
  return { component: { config, weights, file, fileKey }, unknown: unknown.map(key) };
}

/** Throws "mismatch" where the --config folder describes another model than the file holds. */
export function agree<C extends object>(
  who: string,
  file: C,
  config: C | undefined,
  keys: readonly (keyof C)[],
): void {
  if (config === undefined) return;
  for (const key of keys) {
    if (show(file[key]) === show(config[key])) continue;
    throw new TintypeError(
      "mismatch",
      `${who}: the file's ${String(key)} is ${show(file[key])}, but the --config folder says ` +
        `${show(config[key])}: it describes another model.`,
    );
  }
}

/** Throws "mismatch" where group norms cannot divide the channels. */
export function checkGroups(who: string, channels: readonly number[], groups: number): void {
  const odd = channels.find((c) => c % groups !== 0);
  if (odd === undefined) return;
  throw new TintypeError(
    "mismatch",
    `${who}: ${odd} channels do not divide into ${groups} groups.`,
    {
      advice:
        "Pass --config with the diffusers folder of this model, which states its norm_num_groups.",
    },
  );
}

/** The error for keys that are no part of a model. */
export function surplusKeys(file: string, what: string, unknown: readonly string[]): TintypeError {
  const keys = unknown.map((key) => `"${key}"`);
  return new TintypeError(
    "mismatch",
    `${file}: ${counted(unknown.length, "key is", "keys are")} no part of ` +
      `${what}: ${few(keys, 3)}. The file is damaged, or holds something else besides.`,
  );
}
