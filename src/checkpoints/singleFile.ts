import { CLIP_L_TEXT, type ClipTextConfig, OPENCLIP_H_TEXT } from "../models/clip/config.js";
import { SD1_UNET, SD2_UNET, type UNetConfig } from "../models/unet/config.js";
import type { VaeConfig } from "../models/vae/config.js";
import type { StoredTensors } from "../tensor/stored.js";
import { TintypeError } from "../util/errors.js";
import { openClipRules, transformersClipRules } from "./clipKeys.js";
import { agree, checkGroups, type Extracted, extract } from "./component.js";
import { emaKey, emaUNet } from "./emaKeys.js";
import type { ModelFamily } from "./families.js";
import { type SortedKeys, sortKeys } from "./ignoredKeys.js";
import { below, keyMap, mapKeys } from "./keyMap.js";
import { clipConfigFromShapes, headsOf64, openClipLayers, unetConfigFromShapes } from "./shapes.js";
import type { Component } from "./types.js";
import { ldmUNetRules } from "./unetKeys.js";
import { vaeFromTensors } from "./vaeFile.js";

/** Configs that decide what a single file cannot tell. */
export interface BaseConfigs {
  readonly unet: UNetConfig;
  readonly vae: VaeConfig;
  readonly text: ClipTextConfig;
}

const UNET = "model.diffusion_model.";
const EMA = "model_ema.";
const CLIP = "cond_stage_model.transformer.";
const OPENCLIP = "cond_stage_model.model.";
const VAES = ["first_stage_model.", "vae."];

/** SD 1 has 8 heads in every level, SD 2 64 channels a head; a config says for itself. */
function headRule(family: ModelFamily, who: string, config: UNetConfig | undefined) {
  return (level: number, channels: number): number => {
    if (config !== undefined) return config.heads[level] ?? 1;
    if (family.startsWith("sd2")) return headsOf64(who, channels);
    if (channels % 8 === 0) return 8;
    throw new TintypeError(
      "mismatch",
      `${who}: ${channels} channels do not divide into the 8 heads of Stable Diffusion 1.`,
      { advice: "Pass --config with the diffusers folder of this model, which states its heads." },
    );
  };
}

function unetOf(
  tensors: StoredTensors,
  file: string,
  family: ModelFamily,
  base: UNetConfig | undefined,
): Extracted<UNetConfig> {
  const who = `${file}: UNet`;
  const plain = below(tensors, UNET);
  const isEma = plain.size === 0;
  const unet = isEma ? emaUNet(tensors) : plain;
  const published = family.startsWith("sd2") ? SD2_UNET : SD1_UNET;
  const config = unetConfigFromShapes(unet, who, base ?? published, headRule(family, who, base));
  agree(who, config, base, ["blocks", "blockOutChannels", "layersPerBlock", "crossAttentionDim"]);
  checkGroups(who, config.blockOutChannels, config.normNumGroups);
  return extract(config, unet, ldmUNetRules(config), file, isEma ? emaKey : (key) => UNET + key);
}

function clipOf(
  tensors: StoredTensors,
  file: string,
  base: ClipTextConfig | undefined,
): Extracted<ClipTextConfig> {
  const who = `${file}: text encoder`;
  const clip = below(tensors, CLIP);
  const prefix = [...clip.keys()].some((k) => k.startsWith("text_model.")) ? "text_model." : "";
  const rules = transformersClipRules(prefix);
  const { weights } = mapKeys(keyMap(rules), clip);
  const config = base ?? clipConfigFromShapes(weights, who, CLIP_L_TEXT.activation);
  return extract(config, clip, rules, file, (key) => CLIP + key);
}

function openClipOf(
  tensors: StoredTensors,
  file: string,
  base: ClipTextConfig | undefined,
  layers: number,
): Extracted<ClipTextConfig> {
  const who = `${file}: text encoder`;
  const clip = below(tensors, OPENCLIP);
  const rules = openClipRules(layers);
  const { weights } = mapKeys(keyMap(rules), clip);
  const config = base ?? clipConfigFromShapes(weights, who, "gelu");
  return extract(config, clip, rules, file, (key) => OPENCLIP + key);
}

/**
 * How many layers of the file's text encoder are used. SD 2 takes the penultimate layer's output,
 * so the last layer of an OpenCLIP is left out. Files converted back from diffusers lack it already:
 * 23 layers where the published encoder has 24, and no projection after them.
 */
function textLayers(
  tensors: StoredTensors,
  file: string,
  base: ClipTextConfig | undefined,
): number {
  const openClip = below(tensors, OPENCLIP);
  if (base !== undefined) return base.layers;
  if (openClip.size === 0) return Number.POSITIVE_INFINITY;
  const layers = openClipLayers(openClip, `${file}: text encoder`);
  const isShortened = layers === OPENCLIP_H_TEXT.layers && !openClip.has("text_projection");
  return isShortened ? layers : layers - 1;
}

/** The networks of a single LDM file; `vae` is undefined where the file has none. */
export interface SingleFile {
  readonly unet: Component<UNetConfig>;
  readonly vae: Component<VaeConfig> | undefined;
  readonly text: Component<ClipTextConfig>;
  readonly keys: SortedKeys;
}

/**
 * Finds UNet, VAE and text encoder in the tensors of one LDM file of a family that runs. Configs
 * come from shapes and `base`, or from shapes and what was published. Keys outside are ignored by
 * rules or unknown: `keys` lists both.
 */
export function splitSingleFile(
  tensors: StoredTensors,
  file: string,
  family: ModelFamily,
  base: Partial<BaseConfigs> = {},
): SingleFile {
  const layers = textLayers(tensors, file, base.text);
  const sorted = sortKeys([...tensors.keys()], [UNET, EMA, CLIP, OPENCLIP, ...VAES], layers);
  const kept = new Map([...tensors].filter(([key]) => sorted.kept.has(key)));
  const unet = unetOf(kept, file, family, base.unet);
  const hasOpenClip = [...kept.keys()].some((key) => key.startsWith(OPENCLIP));
  const hasClip = [...kept.keys()].some((key) => key.startsWith(CLIP));
  if (!hasOpenClip && !hasClip) {
    throw new TintypeError(
      "mismatch",
      `${file}: holds no text encoder (no key starts with "${CLIP}" or "${OPENCLIP}"). ` +
        "Use a whole model: a diffusers folder, or a single file that holds one.",
    );
  }
  const text = hasOpenClip
    ? openClipOf(kept, file, base.text, layers)
    : clipOf(kept, file, base.text);
  const vaePrefix = VAES.find((prefix) => [...kept.keys()].some((key) => key.startsWith(prefix)));
  const vae =
    vaePrefix === undefined
      ? undefined
      : vaeFromTensors(below(kept, vaePrefix), file, base.vae, (key) => vaePrefix + key);
  if (vae !== undefined) {
    const keys = ["blockOutChannels", "layersPerBlock", "latentChannels"] as const;
    agree(`${file}: VAE`, vae.component.config, base.vae, keys);
  }
  const unknown = [...sorted.unknown, ...unet.unknown, ...text.unknown, ...(vae?.unknown ?? [])];
  const keys = { ...sorted, unknown };
  return { unet: unet.component, vae: vae?.component, text: text.component, keys };
}
