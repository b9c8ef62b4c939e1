import { graphOf } from "../../graph/graph.js";
import { input } from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import { discriminator } from "../../models/discriminator/model.js";
import { type VaeConfig, vaeFactor } from "../../models/vae/config.js";
import { denseParams } from "../../nn/layers.js";
import type { Params } from "../../nn/params.js";
import type { ParameterStore, TrainingEngine, TrainingProgram } from "../../runtime/training.js";
import type { Tensor } from "../../tensor/tensor.js";
import { opening } from "../../util/opening.js";
import { parameterSpecs, scheduledUpdate, storeOptions, type Updated } from "../learner.js";
import { byShape, scalar } from "../programs.js";
import { type GradientPlan, gradientPlan } from "../recompute.js";
import { type Savable, savable } from "../savable.js";
import { vaeParameters, type Weights } from "../weights.js";
import { withAdversary } from "./adversarial.js";
import { type Adversary, DISCRIMINATOR, openAdversary } from "./adversary.js";
import type { AutoencoderConfig } from "./config.js";
import { type AutoencoderTerms, autoencoderLoss } from "./loss.js";
import type { PerceptualDistance } from "./perceptual.js";

/** What the trainer needs of its settings. */
export type AutoencoderSettings = Pick<
  AutoencoderConfig,
  "steps" | "loss" | "adversarial" | "optimizer" | "learningRate" | "clip" | "ema" | "recompute"
> &
  Partial<Pick<AutoencoderConfig, "train">>;

/** What the trainer begins with. */
export interface AutoencoderStart {
  readonly model: VaeConfig;
  readonly weights: Weights;
  /** Weights of the discriminator, where there is one. */
  readonly discriminator?: Weights | undefined;
  /** Goes with `loss.perceptual`. */
  readonly perceptual?: PerceptualDistance | undefined;
}

/** An autoencoder in training, apart from data and randomness. Disposing it frees its memory. */
export interface AutoencoderTrainer extends Savable, AsyncDisposable {
  readonly store: ParameterStore;
  /** Adds the gradients of a batch: images [B,3,H,W] in [-1,1], noise [B,C,h,w] standard normal. */
  run(step: number, images: Tensor, noise: Tensor): Promise<Record<string, number>>;
  /** Takes the step that the batches since the last one make. */
  update(step: number): Promise<Updated>;
}

/**
 * Starts to train an autoencoder. The metrics of a batch are loss, l1, kl, psnr in dB... `freeBytes`
 * is what recompute: "auto" goes by.
 */
export function autoencoderTrainer(
  config: AutoencoderSettings,
  engine: TrainingEngine,
  start: AutoencoderStart,
  freeBytes: () => number | undefined = () => undefined,
): Promise<AutoencoderTrainer> {
  return opening(async (use) => {
    const specs = parameterSpecs(vaeParameters(start.model).values(), start.weights);
    const store = use(await engine.store(specs, storeOptions("autoencoder", config)));
    const plan = gradientPlan(config.recompute, freeBytes);
    const { adversarial } = config;
    const adversary =
      adversarial &&
      use(await openAdversary(adversarial, engine, start.discriminator!, config.steps));
    const programs = (opponent: Adversary | undefined) =>
      use(byShape((shape) => program(config, engine, { ...start, store, plan }, opponent, shape)));
    const [alone, opposed] = [programs(undefined), programs(adversary)];
    const update = scheduledUpdate(store, config);
    const isOpposed = (step: number): boolean =>
      adversarial !== undefined && step >= adversarial.start;
    return {
      store,
      async run(step: number, images: Tensor, noise: Tensor) {
        const one = await (isOpposed(step) ? opposed : alone).get(images.shape);
        const { reconstruction, ...out } = await one.run({ images, noise });
        const { mse, ...metrics } = numbers(out);
        const judged = isOpposed(step) ? await adversary!.run(images, reconstruction!) : {};
        return { ...metrics, psnr: psnr(mse!), ...judged };
      },
      async update(step: number) {
        if (isOpposed(step)) await adversary!.update(step);
        return await update(step);
      },
      ...savable({ model: store, ...(adversary && { [DISCRIMINATOR]: adversary.store }) }, plan),
    };
  });
}

/** PSNR in dB of a mean squared error, for values in [-1,1]. */
function psnr(mse: number): number {
  return 10 * Math.log10(4 / mse);
}

function numbers(out: Readonly<Record<string, Tensor>>): Record<string, number> {
  return Object.fromEntries(Object.entries(out).map(([name, value]) => [name, scalar(value)]));
}

/** The program of one batch's shape: with an opponent, or before there is one. */
function program(
  { train = "all", loss: { perceptual: _, ...options }, adversarial }: AutoencoderSettings,
  engine: TrainingEngine,
  {
    model,
    perceptual,
    store,
    plan,
  }: AutoencoderStart & { readonly store: ParameterStore; readonly plan: GradientPlan },
  opponent: Adversary | undefined,
  shape: readonly number[],
): Promise<TrainingProgram> {
  const [b, , h, w] = shape as [number, number, number, number];
  const f = vaeFactor(model);
  const p = denseParams();
  const inputs = {
    images: input("images", shape),
    noise: input("noise", [b, model.latentChannels, h / f, w / f]),
  };
  const kl = options.kl ?? undefined;
  const terms = autoencoderLoss(p, model, inputs, { ...options, kl, perceptual });
  const { outputs, minimised } = opponent
    ? opposedTerms(p, terms, adversarial!)
    : { outputs: { loss: terms.loss, ...terms.metrics }, minimised: terms.loss };
  return engine.program(outputs, {
    label: "autoencoder",
    stores: opponent ? [store, opponent.store] : [store],
    ...plan.gradients(minimised, trainedNames(train, store)),
    ...(perceptual ? { frozen: perceptual.frozen } : {}),
  });
}

/** What a step changes. */
function trainedNames(
  train: AutoencoderConfig["train"],
  { names }: ParameterStore,
): readonly string[] {
  return train === "all"
    ? names
    : names.filter((name) => /^(decoder|post_quant_conv)\./.test(name));
}

function opposedTerms(
  p: Params,
  terms: AutoencoderTerms,
  adversarial: NonNullable<AutoencoderSettings["adversarial"]>,
): { readonly outputs: Record<string, Value>; readonly minimised: Value } {
  const { reconstruction, metrics } = terms;
  const last = graphOf({ reconstruction }).params.get("decoder.conv_out.weight")!;
  const logits = discriminator(p.at(DISCRIMINATOR), adversarial, reconstruction);
  const { surrogate, ...shown } = withAdversary(terms, logits, last, adversarial.weight);
  return { outputs: { ...shown, ...metrics, reconstruction }, minimised: surrogate };
}
