import type { VaeConfig } from "../../models/vae/config.js";
import { type Tensor, tensor } from "../../tensor/tensor.js";
import { check } from "../../util/errors.js";
import { checkGroups } from "../modelConfig.js";
import { findVae, readWeights } from "../pretrained.js";
import type { TaskContext } from "../task.js";
import {
  discriminatorParameters,
  initialWeights,
  vaeParameters,
  type Weights,
} from "../weights.js";
import type { AutoencoderConfig } from "./config.js";
import { openPerceptual } from "./perceptual.js";
import type { AutoencoderStart } from "./trainer.js";

/**
 * The checkpoint that the config names, or random weights from its seed; and the networks that help
 * it to learn. Throws what checkpoints do, and "bad-argument" for sizes that do not fit.
 */
export async function startingPoint(
  config: Pick<AutoencoderConfig, "from" | "train" | "model" | "seed" | "loss" | "adversarial">,
  context: TaskContext,
): Promise<AutoencoderStart> {
  const { adversarial, seed, loss } = config;
  check(
    config.train === "all" || config.from !== undefined,
    "bad-argument",
    'train: "decoder" goes on with an encoder that is trained already. Name its autoencoder in "from".',
  );
  return {
    ...(await network(config, context)),
    perceptual: loss.perceptual && (await openPerceptual(loss.perceptual, context)),
    discriminator:
      adversarial && initialWeights(discriminatorParameters(adversarial).values(), seed),
  };
}

async function network(
  { from, model, seed, loss }: Pick<AutoencoderConfig, "from" | "model" | "seed" | "loss">,
  context: TaskContext,
): Promise<Pick<AutoencoderStart, "model" | "weights">> {
  if (from !== undefined) {
    const found = await findVae("from", from, context);
    return { model: found.config, weights: await readWeights(found.weights) };
  }
  checkGroups("model", model.blockOutChannels, model.normNumGroups);
  const weights = initialWeights(vaeParameters(model).values(), seed);
  return { model, weights: loss.kl === null ? withoutSpread(weights, model) : weights };
}

/** Log variance of latents that have none: what the posterior is clamped to. */
const NO_SPREAD = -30;

/**
 * The same weights with a posterior of no variance: a plain autoencoder learns nothing about it, and
 * what reads its files draws from it.
 */
function withoutSpread(weights: Weights, { latentChannels, useQuantConv }: VaeConfig): Weights {
  const last = useQuantConv ? "quant_conv" : "encoder.conv_out";
  const lower = (name: string, value: number): [string, Tensor] => {
    const { shape, data } = weights.get(`${last}.${name}`)!;
    const half = (data.length / (2 * latentChannels)) * latentChannels;
    return [`${last}.${name}`, tensor(shape, data.slice().fill(value, half))];
  };
  return new Map([...weights, lower("weight", 0), lower("bias", NO_SPREAD)]);
}
