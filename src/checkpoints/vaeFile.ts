import { SD_VAE, type VaeConfig } from "../models/vae/config.js";
import type { StoredTensors } from "../tensor/stored.js";
import { counted } from "../util/counted.js";
import { TintypeError } from "../util/errors.js";
import { checkGroups, type Extracted, extract, surplusKeys } from "./component.js";
import { findFamily } from "./families.js";
import { sortKeys } from "./ignoredKeys.js";
import { below, type KeyRule, keyMap, mapKeys } from "./keyMap.js";
import { ldmVaeLayout, vaeConfigFromShapes } from "./shapes.js";
import type { Component } from "./types.js";
import { diffusersVaeRules, ldmVaeRules } from "./vaeKeys.js";

function vaeRules(tensors: StoredTensors, who: string): readonly KeyRule[] {
  const isDiffusers = [...tensors.keys()].some((key) => /^(en|de)coder\.mid_block\./.test(key));
  return isDiffusers ? diffusersVaeRules() : ldmVaeRules(ldmVaeLayout(tensors, who));
}

/**
 * A VAE in LDM's or diffusers' layout, from keys without prefix; `key` puts the prefix back.
 * `base` gives what shapes cannot tell.
 */
export function vaeFromTensors(
  tensors: StoredTensors,
  file: string,
  base: VaeConfig | undefined,
  key: (rest: string) => string,
): Extracted<VaeConfig> {
  const who = `${file}: VAE`;
  const rules = vaeRules(tensors, who);
  const { weights } = mapKeys(keyMap(rules), tensors);
  const config = vaeConfigFromShapes(weights, who, base ?? SD_VAE);
  checkGroups(who, config.blockOutChannels, config.normNumGroups);
  return extract(config, tensors, rules, file, key);
}

/** Where a file's VAE may stand: in a whole model, or by itself. */
const PREFIXES = ["first_stage_model.", "vae.", ""];

/**
 * The VAE of a --vae file: one by itself in LDM's or diffusers' layout, or that of a whole single
 * file. Throws "unsupported" for other files, "mismatch" for keys that are no part of a VAE.
 */
export function vaeFromFile(
  tensors: StoredTensors,
  file: string,
  base: VaeConfig | undefined,
): Component<VaeConfig> {
  const prefix = PREFIXES.find((p) => tensors.has(`${p}decoder.conv_in.weight`));
  const keys = [...below(tensors, prefix ?? "").keys()];
  const isKl = keys.some((key) => /^decoder\.mid(_block)?\./.test(key));
  if (prefix === undefined || !isKl) {
    const { title, evidence } = findFamily(tensors);
    const found = evidence === undefined ? counted(tensors.size, "other tensor") : title;
    throw new TintypeError(
      "unsupported",
      `${file}: expected a VAE ("decoder.conv_in.weight" and more), found ${found}.`,
    );
  }
  const { kept } = sortKeys(keys, [""], Number.POSITIVE_INFINITY);
  const vae = new Map([...below(tensors, prefix)].filter(([key]) => kept.has(key)));
  const { component, unknown } = vaeFromTensors(vae, file, base, (key) => prefix + key);
  if (unknown.length > 0) throw surplusKeys(file, "a VAE", unknown);
  return component;
}
