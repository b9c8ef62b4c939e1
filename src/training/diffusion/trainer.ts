import {
  alphasCumprodOf,
  betasOf,
  fromConfig,
  type Level,
  levelOf,
  type PredictionType,
  parseSchedulerConfig,
} from "../../diffusion/index.js";
import * as op from "../../graph/ops.js";
import { clipTextEncoder, tokenEmbedding } from "../../models/clip/model.js";
import { denseParams } from "../../nn/layers.js";
import type { ParameterStore, TrainingEngine, TrainingProgram } from "../../runtime/training.js";
import { type Tensor, tensor } from "../../tensor/tensor.js";
import { opening } from "../../util/opening.js";
import { parameterSpecs, scheduledUpdate, storeOptions, type Updated } from "../learner.js";
import { posterior, reparameterize } from "../losses.js";
import { readWeights } from "../pretrained.js";
import { byShape, scalar } from "../programs.js";
import { type GradientPlan, gradientPlan } from "../recompute.js";
import { type Savable, savable } from "../savable.js";
import { textParameters, under, unetParameters, type Weights } from "../weights.js";
import type { DiffusionConfig } from "./config.js";
import { diffusionLoss, minSnrWeight } from "./loss.js";
import type { DiffusionParts } from "./parts.js";

/** What the trainer needs of its settings. */
export type DiffusionSettings = Pick<
  DiffusionConfig,
  "steps" | "minSnr" | "text" | "optimizer" | "learningRate" | "clip" | "ema" | "recompute"
>;

/** What the trainer needs of the model. */
export type TrainedParts = Pick<
  DiffusionParts,
  "unet" | "text" | "vae" | "scheduler" | "prediction"
>;

/** One batch with all that is random about it. */
export interface DiffusionBatch {
  /** The autoencoder's mean and logvar [B,2C,h,w]. */
  readonly moments: Tensor;
  /** Which latents are drawn from them: standard normal [B,C,h,w]. */
  readonly draw: Tensor;
  /** What is added to the latents [B,C,h,w]. */
  readonly noise: Tensor;
  /** Timesteps of each picture. */
  readonly t: Int32Array;
  /** Token ids [B,N] where the text encoder is trained, else its hidden states [B,N,D]. */
  readonly text: Tensor;
}

/** A UNet in training, perhaps with its text encoder, apart from data and randomness. */
export interface DiffusionTrainer extends Savable, AsyncDisposable {
  /** Holds `unet.*`, and `text_encoder.*` where it is trained. */
  readonly store: ParameterStore;
  /** Timesteps that there are. */
  readonly timesteps: number;
  /** Adds the gradients of a batch. */
  run(batch: DiffusionBatch): Promise<{ loss: number; mse: number }>;
  /** Takes the step that the batches since the last one make. */
  update(step: number): Promise<Updated>;
}

/**
 * Starts to train a UNet, and its text encoder where `config.text.train` says so. `freeBytes` is what
 * recompute: "auto" goes by.
 */
export function diffusionTrainer(
  config: DiffusionSettings,
  engine: TrainingEngine,
  parts: TrainedParts,
  freeBytes: () => number | undefined = () => undefined,
): Promise<DiffusionTrainer> {
  return opening(async (use) => {
    const store = use(await openStore(config, engine, parts));
    const plan = gradientPlan(config.recompute, freeBytes);
    const trained = { ...parts, store, plan };
    const programs = use(byShape((shape) => diffusionProgram(config, engine, trained, shape)));
    const alphaBars = alphaBarsOf(parts.scheduler);
    return {
      store,
      timesteps: alphaBars.length,
      async run({ t, ...batch }: DiffusionBatch) {
        const levels = Array.from(t, (step) => levelOf(alphaBars, step));
        const program = await programs.get(batch.moments.shape);
        const inputs = { ...batch, ...levelInputs(levels, parts.prediction, config) };
        const out = await program.run(inputs);
        return { loss: scalar(out.loss), mse: scalar(out.mse) };
      },
      update: scheduledUpdate(store, config),
      ...savable({ model: store }, plan),
    };
  });
}

/** alpha-bar of every timestep, as a scheduler_config.json has it. */
function alphaBarsOf(scheduler: TrainedParts["scheduler"]): Float32Array {
  const file = parseSchedulerConfig("scheduler", scheduler);
  return alphasCumprodOf(betasOf(fromConfig(file)));
}

async function openStore(
  config: DiffusionSettings,
  engine: TrainingEngine,
  { unet, text }: TrainedParts,
): Promise<ParameterStore> {
  const specsOf = async (
    prefix: string,
    declared: ReturnType<typeof unetParameters>,
    weights: Weights,
    rate: number,
  ) => {
    const named = [...declared.values()].map((d) => ({ ...d, name: `${prefix}.${d.name}` }));
    return parameterSpecs(named, under(prefix, weights), rate);
  };
  const specs = await specsOf(
    "unet",
    unetParameters(unet.config),
    await readWeights(unet.weights),
    1,
  );
  if (config.text.train) {
    const weights = await readWeights(text.weights);
    const declared = textParameters(text.config);
    specs.push(...(await specsOf("text_encoder", declared, weights, config.text.rate)));
  }
  return engine.store(specs, storeOptions("diffusion model", config));
}

function levelInputs(
  levels: readonly Level[],
  prediction: PredictionType,
  { minSnr }: DiffusionSettings,
): Readonly<Record<"t" | "alpha" | "sigma" | "weight", Tensor>> {
  const each = (value: (level: Level) => number): Tensor =>
    tensor([levels.length], Float32Array.from(levels, value));
  return {
    t: each(({ t }) => t),
    alpha: each(({ alpha }) => alpha),
    sigma: each(({ sigma }) => sigma),
    weight: each((level) => (minSnr === null ? 1 : minSnrWeight(level, prediction, minSnr))),
  };
}

function diffusionProgram(
  config: DiffusionSettings,
  engine: TrainingEngine,
  {
    unet,
    text,
    vae,
    prediction,
    store,
    plan,
  }: TrainedParts & { readonly store: ParameterStore; readonly plan: GradientPlan },
  shape: readonly number[],
): Promise<TrainingProgram> {
  const [batch, channels, h, w] = shape as [number, number, number, number];
  const latentShape = [batch, channels / 2, h, w];
  const p = denseParams();
  const gaussian = posterior(op.input("moments", shape));
  const drawn = reparameterize(gaussian, op.input("draw", latentShape));
  const tokens = [batch, text.config.maxPositions];
  const encode = (): op.Operand & object => {
    const ids = op.input("text", tokens, "int");
    const encoder = p.at("text_encoder");
    return clipTextEncoder(encoder, text.config, tokenEmbedding(encoder, text.config, ids));
  };
  const context = config.text.train
    ? encode()
    : op.input("text", [...tokens, text.config.hiddenSize]);
  const inputs = {
    latents: op.mul(drawn, vae.config.scalingFactor),
    noise: op.input("noise", latentShape),
    t: op.input("t", [batch]),
    alpha: op.input("alpha", [batch]),
    sigma: op.input("sigma", [batch]),
    weight: op.input("weight", [batch]),
    context,
  };
  const { loss, mse } = diffusionLoss(p.at("unet"), unet.config, inputs, prediction);
  return engine.program(
    { loss, mse },
    { label: "diffusion model", stores: [store], ...plan.gradients(loss, store.names) },
  );
}
