import { input } from "../graph/ops.js";
import type { ClipConfig, ClipTextConfig } from "../models/clip/config.js";
import { clipImageFeatures, clipTextFeatures, logitScale } from "../models/clip/dual.js";
import { clipTextEncoder, tokenEmbedding } from "../models/clip/model.js";
import type { DiscriminatorConfig } from "../models/discriminator/config.js";
import { discriminator } from "../models/discriminator/model.js";
import type { UNetConfig } from "../models/unet/config.js";
import { unet } from "../models/unet/model.js";
import { type VaeConfig, vaeFactor } from "../models/vae/config.js";
import { vaeDecoder, vaeEncoder } from "../models/vae/model.js";
import { denseParams } from "../nn/layers.js";
import type { Init, ParamDeclaration, Params } from "../nn/params.js";
import type { TorchGenerator } from "../tensor/mt19937.js";
import { sizeOf, type Tensor, tensor } from "../tensor/tensor.js";
import { randomFor } from "./random.js";

/** Named tensors in memory. */
export type Weights = ReadonlyMap<string, Tensor>;

function draw(init: Init, n: number, random: () => TorchGenerator): Float32Array<ArrayBuffer> {
  switch (init.kind) {
    case "constant":
      return new Float32Array(n).fill(init.value);
    case "normal":
      return random()
        .randn(n)
        .map((x) => x * init.std + (init.mean ?? 0));
    case "uniform":
      return random()
        .rand(n)
        .map((x) => (2 * x - 1) * init.bound);
  }
}

/**
 * Every declared parameter as its layer says that it starts. Each is drawn for itself, from the
 * seed and its name, so that a layer more or less changes no other.
 */
export function initialWeights(declared: Iterable<ParamDeclaration>, seed: number): Weights {
  return new Map(
    Array.from(declared, ({ name, shape, init }) => {
      const random = (): TorchGenerator => randomFor(seed, `weight/${name}`);
      return [name, tensor(shape, draw(init, sizeOf(shape), random))] as const;
    }),
  );
}

/** The tensors whose names begin with `prefix.`, without it. */
export function below(weights: Weights, prefix: string): Weights {
  return new Map(
    [...weights]
      .filter(([name]) => name.startsWith(`${prefix}.`))
      .map(([name, value]) => [name.slice(prefix.length + 1), value]),
  );
}

/** The same tensors, each named `prefix.name`. */
export function under(prefix: string, weights: Weights): Weights {
  return new Map([...weights].map(([name, value]) => [`${prefix}.${name}`, value]));
}

/** Parameters as a network's layers declare them, in their order. */
export type Declared = ReadonlyMap<string, ParamDeclaration>;

function declaredBy(network: (p: Params) => void): Declared {
  const p = denseParams();
  network(p);
  return p.declared;
}

/** Every parameter of an autoencoder. */
export function vaeParameters(config: VaeConfig): Declared {
  const side = vaeFactor(config);
  return declaredBy((p) => {
    vaeEncoder(p, config, input("image", [1, config.inChannels, side, side]));
    vaeDecoder(p, config, input("latents", [1, config.latentChannels, 1, 1]));
  });
}

/** Every parameter of a text encoder, the table of tokens included. */
export function textParameters(config: ClipTextConfig): Declared {
  const ids = input("ids", [1, config.maxPositions], "int");
  return declaredBy((p) => clipTextEncoder(p, config, tokenEmbedding(p, config, ids)));
}

/** Every parameter of a text and an image encoder that meet in one space. */
export function clipParameters(config: ClipConfig): Declared {
  const ids = input("ids", [1, config.text.maxPositions], "int");
  const { imageSize } = config.vision;
  return declaredBy((p) => {
    clipTextFeatures(p, config, { ids, ends: input("ends", [1], "int") });
    clipImageFeatures(p, config, input("images", [1, 3, imageSize, imageSize]));
    logitScale(p);
  });
}

/** Every parameter of a discriminator. */
export function discriminatorParameters(config: DiscriminatorConfig): Declared {
  const side = 2 ** (config.layers + 2);
  return declaredBy((p) => discriminator(p, config, input("images", [1, 3, side, side])));
}

/** Every parameter of a UNet. */
export function unetParameters(config: UNetConfig): Declared {
  const side = 2 ** (config.blocks.length - 1);
  const x = input("x", [1, config.inChannels, side, side]);
  const context = input("context", [1, 1, config.crossAttentionDim]);
  return declaredBy((p) => unet(p, config, { x, t: input("t", [1]), context }));
}
