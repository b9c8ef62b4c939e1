/** Everything that shapes a PatchGAN discriminator. */
export interface DiscriminatorConfig {
  /** Channels of the first layer; they double on each layer up to eight times as many. */
  readonly channels: number;
  /** Layers of stride 2; 3 is the published one, which judges patches of 70x70 pixels. */
  readonly layers: number;
}

/** The discriminator of pix2pix and of latent diffusion's autoencoders. */
export const PATCHGAN: DiscriminatorConfig = { channels: 64, layers: 3 };
