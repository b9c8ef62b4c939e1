import * as v from "valibot";
import { CLIP_L_TEXT, type ClipTextConfig, type ClipVisionConfig } from "../models/clip/config.js";
import { SD1_UNET, type UNetConfig } from "../models/unet/config.js";
import { SD_VAE, type VaeConfig } from "../models/vae/config.js";
import { counted } from "../util/counted.js";
import { check } from "../util/errors.js";
import { type ConfigSchema, oneOf, real, whole } from "./schema.js";

/*
 * Networks as settings: the keys of their configs, each with the value that Stable Diffusion 1.x
 * has where it is left out.
 */

const count: ConfigSchema<number> = whole(1, 65_536);
const flag: ConfigSchema<boolean> = v.boolean();
const counts: ConfigSchema<readonly number[]> = v.pipe(
  v.array(count),
  v.minLength(1, "a list of at least one whole number"),
);

/** Published autoencoders by name. Source: CompVis/latent-diffusion, configs/autoencoder. */
const VAE_PRESETS: Readonly<Record<"kl-f4" | "kl-f8", VaeConfig>> = {
  "kl-f4": { ...SD_VAE, latentChannels: 3, blockOutChannels: [128, 256, 512], scalingFactor: 1 },
  "kl-f8": { ...SD_VAE, scalingFactor: 1 },
};

/** An autoencoder: a published one, and what is to be different. */
export const vaeSchema: ConfigSchema<VaeConfig> = v.pipe(
  v.strictObject({
    preset: v.optional(oneOf(["kl-f4", "kl-f8"]), "kl-f8"),
    latentChannels: v.optional(count),
    blockOutChannels: v.optional(counts),
    layersPerBlock: v.optional(count),
    normNumGroups: v.optional(count),
    midBlockAttention: v.optional(flag),
  }),
  v.transform(({ preset, ...own }) => ({ ...VAE_PRESETS[preset], ...given(own) })),
);

/** A UNet; lists have one entry a level, from fine to coarse. */
export const unetSchema: ConfigSchema<UNetConfig> = v.pipe(
  v.strictObject({
    sampleSize: v.optional(count),
    blocks: v.optional(v.array(oneOf(["resnet", "crossAttention"]))),
    blockOutChannels: v.optional(counts),
    layersPerBlock: v.optional(count),
    heads: v.optional(counts),
    transformerLayers: v.optional(counts),
    useLinearProjection: v.optional(flag),
    normNumGroups: v.optional(count),
  }),
  v.transform((own) => ({ ...SD1_UNET, ...given(own) })),
);

/** What both of CLIP's encoders have. */
const towerEntries = {
  hiddenSize: v.optional(count),
  intermediateSize: v.optional(count),
  layers: v.optional(count),
  heads: v.optional(count),
  activation: v.optional(oneOf(["quick_gelu", "gelu"])),
  layerNormEps: v.optional(real(0, 1, { above: true })),
};

/** A CLIP text encoder; its vocabulary is the tokenizer's. */
export const textSchema: ConfigSchema<ClipTextConfig> = v.pipe(
  v.strictObject(towerEntries),
  v.transform((own) => ({ ...CLIP_L_TEXT, ...given(own) })),
);

/** CLIP ViT-L/14's image encoder. */
const CLIP_L_VISION: ClipVisionConfig = {
  hiddenSize: 1024,
  intermediateSize: 4096,
  layers: 24,
  heads: 16,
  imageSize: 224,
  patchSize: 14,
  activation: "quick_gelu",
  layerNormEps: 1e-5,
};

/** A CLIP image encoder. */
export const visionSchema: ConfigSchema<ClipVisionConfig> = v.pipe(
  v.strictObject({
    ...towerEntries,
    imageSize: v.optional(count),
    patchSize: v.optional(count),
  }),
  v.transform((own) => ({ ...CLIP_L_VISION, ...given(own) })),
);

type Given<T> = { -readonly [K in keyof T]?: Exclude<T[K], undefined> };

/** Without the keys that were left out. */
function given<T extends object>(own: T): Given<T> {
  return Object.fromEntries(Object.entries(own).filter(([, x]) => x !== undefined)) as Given<T>;
}

/** Throws "bad-argument" where the channels of `who` do not divide into so many groups. */
export function checkGroups(who: string, channels: readonly number[], groups: number): void {
  const odd = channels.find((c) => c % groups !== 0);
  check(
    odd === undefined,
    "bad-argument",
    `${who}: ${counted(odd ?? 0, "channel does", "channels do")} not divide into normNumGroups = ${groups} groups.`,
  );
}

/** Throws "bad-argument" where the width of `who` does not divide into its heads. */
export function checkHeads(
  who: string,
  { hiddenSize, heads }: { readonly hiddenSize: number; readonly heads: number },
): void {
  check(
    hiddenSize % heads === 0,
    "bad-argument",
    `${who}: a width of ${hiddenSize} does not divide into ${heads} heads.`,
  );
}

/** Throws "bad-argument" for a UNet whose lists do not fit each other. */
export function checkUNet(who: string, config: UNetConfig): void {
  const levels = config.blocks.length;
  for (const key of ["blockOutChannels", "heads", "transformerLayers"] as const) {
    check(
      config[key].length === levels,
      "bad-argument",
      `${who}: ${key} has ${counted(config[key].length, "entry", "entries")} and blocks has ${levels}; expected one each a level.`,
    );
  }
  checkGroups(who, config.blockOutChannels, config.normNumGroups);
  config.blockOutChannels.forEach((channels, level) => {
    check(
      channels % config.heads[level]! === 0,
      "bad-argument",
      `${who}: ${counted(channels, "channel")} of level ${level} ${channels === 1 ? "does" : "do"} not divide into ${config.heads[level]} heads.`,
    );
  });
}
