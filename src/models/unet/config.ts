/** What a level of the UNet is made of: ResNet blocks alone, or ResNet blocks with transformers. */
export type UNetBlock = "resnet" | "crossAttention";

/** Everything that shapes a conditional UNet of the Stable Diffusion family. */
export interface UNetConfig {
  /** Side of the training latents; the picture's default side is this times the VAE's factor. */
  readonly sampleSize: number;
  /** 4, or 9 for inpainting checkpoints (latents, mask, masked latents). */
  readonly inChannels: number;
  readonly outChannels: number;
  /** Levels from fine to coarse. The way up mirrors the way down. */
  readonly blocks: readonly UNetBlock[];
  readonly blockOutChannels: readonly number[];
  /** ResNet blocks a level on the way down; one more on the way up. */
  readonly layersPerBlock: number;
  /** Attention heads of each level (diffusers calls this attention_head_dim). */
  readonly heads: readonly number[];
  /** Transformer blocks of each level. */
  readonly transformerLayers: readonly number[];
  /** Width of the text encoder's hidden states. */
  readonly crossAttentionDim: number;
  /** Transformers project with a linear layer (SD 2) instead of a 1x1 convolution (SD 1). */
  readonly useLinearProjection: boolean;
  readonly normNumGroups: number;
  readonly normEps: number;
  /** Timestep embedding: cosines first. */
  readonly flipSinToCos: boolean;
  readonly freqShift: number;
}

/** Skip connections in all: each level has one a ResNet block, and one that it begins with. */
export function skipCount({ blocks, layersPerBlock }: UNetConfig): number {
  return blocks.length * (layersPerBlock + 1);
}

/** The finest level whose pixels attend to each other; the middle always does. */
export function finestAttention({ blocks }: UNetConfig): number {
  const level = blocks.indexOf("crossAttention");
  return level < 0 ? blocks.length - 1 : level;
}

/** Where a skip connection stands, counted from conv_in's, 0. */
export interface SkipPlace {
  /** Level that takes it on the way up. */
  readonly level: number;
  /** Place in that level; 0 is what the level begins with. */
  readonly place: number;
  readonly channels: number;
}

/** Level, place and channels of a skip connection. */
export function placeOf(config: UNetConfig, skip: number): SkipPlace {
  const perLevel = config.layersPerBlock + 1;
  const [level, place] = [Math.floor(skip / perLevel), skip % perLevel];
  // A level begins with the level above it, at half its size.
  const made = place === 0 ? Math.max(level - 1, 0) : level;
  return { level, place, channels: config.blockOutChannels[made]! };
}

/** UNet of Stable Diffusion 1.x. */
export const SD1_UNET: UNetConfig = {
  sampleSize: 64,
  inChannels: 4,
  outChannels: 4,
  blocks: ["crossAttention", "crossAttention", "crossAttention", "resnet"],
  blockOutChannels: [320, 640, 1280, 1280],
  layersPerBlock: 2,
  heads: [8, 8, 8, 8],
  transformerLayers: [1, 1, 1, 1],
  crossAttentionDim: 768,
  useLinearProjection: false,
  normNumGroups: 32,
  normEps: 1e-5,
  flipSinToCos: true,
  freqShift: 0,
};

/** UNet of Stable Diffusion 2.x (sampleSize 96 for the 768-pixel models). */
export const SD2_UNET: UNetConfig = {
  ...SD1_UNET,
  heads: [5, 10, 20, 20],
  crossAttentionDim: 1024,
  useLinearProjection: true,
};
