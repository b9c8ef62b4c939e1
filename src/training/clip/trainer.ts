import { input } from "../../graph/ops.js";
import type { ClipConfig } from "../../models/clip/config.js";
import { LOGIT_SCALE_LIMIT } from "../../models/clip/dual.js";
import { denseParams } from "../../nn/layers.js";
import type { ParameterStore, TrainingEngine, TrainingProgram } from "../../runtime/training.js";
import { full, type Tensor } from "../../tensor/tensor.js";
import { opening } from "../../util/opening.js";
import { parameterSpecs, scheduledUpdate, storeOptions, type Updated } from "../learner.js";
import { byShape, scalar } from "../programs.js";
import { type GradientPlan, gradientPlan } from "../recompute.js";
import { type Savable, savable } from "../savable.js";
import { clipParameters, type Weights } from "../weights.js";
import type { ClipTrainingConfig } from "./config.js";
import { clipLoss } from "./loss.js";

/** What the trainer needs of its settings. */
export type ClipSettings = Pick<
  ClipTrainingConfig,
  "steps" | "optimizer" | "learningRate" | "clip" | "ema" | "recompute"
>;

/** Pairs of texts and pictures. */
export interface ClipBatch {
  /** [B,3,S,S] in [-1,1] */
  readonly images: Tensor;
  /** Token ids [B,N]. */
  readonly ids: Tensor;
  /** The place of each text's end in the flattened ids [B]. */
  readonly ends: Tensor;
}

/** A text and an image encoder in training, apart from data. */
export interface ClipTrainer extends Savable, AsyncDisposable {
  readonly store: ParameterStore;
  /** Adds the gradients of a batch; logits [B,B]: texts down, pictures across. */
  run(batch: ClipBatch): Promise<{ loss: number; logits: Tensor; logScale: number }>;
  /** Takes the step that the batches since the last one make. */
  update(step: number): Promise<Updated>;
}

/**
 * Starts to train CLIP from `start`, its weights by name. `freeBytes` is what recompute: "auto" goes
 * by.
 */
export function clipTrainer(
  config: ClipSettings,
  engine: TrainingEngine,
  model: ClipConfig,
  start: Weights,
  freeBytes: () => number | undefined = () => undefined,
): Promise<ClipTrainer> {
  return opening(async (use) => {
    const specs = parameterSpecs(clipParameters(model).values(), start);
    const store = use(await engine.store(specs, storeOptions("CLIP", config)));
    const plan = gradientPlan(config.recompute, freeBytes);
    const programs = use(byShape((shape) => clipProgram(engine, store, model, plan, shape)));
    return {
      store,
      async run({ images, ids, ends }: ClipBatch) {
        const out = await (await programs.get(images.shape)).run({ images, ids, ends });
        const logScale = scalar(out.logScale);
        // The limit holds after each step, so here the last one is put right.
        if (logScale > LOGIT_SCALE_LIMIT) {
          await store.write("params", new Map([["logit_scale", full([], LOGIT_SCALE_LIMIT)]]));
        }
        return { loss: scalar(out.loss), logits: out.logits!, logScale };
      },
      update: scheduledUpdate(store, config),
      ...savable({ model: store }, plan),
    };
  });
}

function clipProgram(
  engine: TrainingEngine,
  store: ParameterStore,
  model: ClipConfig,
  plan: GradientPlan,
  shape: readonly number[],
): Promise<TrainingProgram> {
  const batch = shape[0]!;
  const inputs = {
    ids: input("ids", [batch, model.text.maxPositions], "int"),
    ends: input("ends", [batch], "int"),
    images: input("images", shape),
  };
  const { loss, logits, logScale } = clipLoss(denseParams(), model, inputs);
  return engine.program(
    { loss, logits, logScale },
    { label: "CLIP", stores: [store], ...plan.gradients(loss, store.names) },
  );
}
