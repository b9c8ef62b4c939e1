/** Everything that shapes an AutoencoderKL. */
export interface VaeConfig {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly latentChannels: number;
  /** Channels of each level from pixels to latents; each level but the last halves the size. */
  readonly blockOutChannels: readonly number[];
  /** ResNet blocks a level in the encoder; one more in the decoder. */
  readonly layersPerBlock: number;
  readonly normNumGroups: number;
  /** Latents are multiplied by this after encoding, divided by it before decoding. */
  readonly scalingFactor: number;
  /** Self-attention in the middle block. */
  readonly midBlockAttention: boolean;
  /** 1x1 convolution on mean and logvar after the encoder. */
  readonly useQuantConv: boolean;
  /** 1x1 convolution on latents before the decoder. */
  readonly usePostQuantConv: boolean;
}

/** AutoencoderKL f=8 of Stable Diffusion 1.x and 2.x. */
export const SD_VAE: VaeConfig = {
  inChannels: 3,
  outChannels: 3,
  latentChannels: 4,
  blockOutChannels: [128, 256, 512, 512],
  layersPerBlock: 2,
  normNumGroups: 32,
  scalingFactor: 0.18215,
  midBlockAttention: true,
  useQuantConv: true,
  usePostQuantConv: true,
};

/** Pixels a latent, along one side: 8 for Stable Diffusion. */
export function vaeFactor(config: VaeConfig): number {
  return 2 ** (config.blockOutChannels.length - 1);
}

/** Levels next to the pixels that are worked on in tiles where memory is short. */
export function fineLevels({ blockOutChannels }: VaeConfig): number {
  return Math.min(2, blockOutChannels.length);
}

/** What passes between the two halves of an encoder or a decoder. */
export interface VaeFeatures {
  /** Pixels a feature, along one side: 4 for Stable Diffusion. */
  readonly factor: number;
  /** Channels that the encoder's fine half gives. */
  readonly encoderChannels: number;
  /** Channels that the decoder's fine half takes. */
  readonly decoderChannels: number;
  /** Pixels that the decoder's fine half looks beyond each pixel, and the encoder's. */
  readonly reach: number;
}

/** The features between the halves of an autoencoder. */
export function vaeFeatures(config: VaeConfig): VaeFeatures {
  const { blockOutChannels: widths, layersPerBlock } = config;
  const levels = widths.length;
  const fine = fineLevels(config);
  // Two convolutions a ResNet block and one that changes the size, of one pixel of their level each;
  // at the pixels' own level the first or last convolution beside.
  const convolutions = 2 * (layersPerBlock + 1) + 1;
  const reach = 1 + convolutions * (2 ** fine - 1);
  return {
    factor: 2 ** Math.min(fine, levels - 1),
    encoderChannels: widths[fine - 1]!,
    decoderChannels: widths[Math.min(fine, levels - 1)]!,
    reach,
  };
}
