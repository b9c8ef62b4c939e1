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
