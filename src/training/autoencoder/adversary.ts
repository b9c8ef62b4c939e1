import { input } from "../../graph/ops.js";
import { discriminator } from "../../models/discriminator/model.js";
import { denseParams } from "../../nn/layers.js";
import type { ParameterStore, TrainingEngine } from "../../runtime/training.js";
import type { Tensor } from "../../tensor/tensor.js";
import { opening } from "../../util/opening.js";
import { gradientsOf, parameterSpecs, scheduledUpdate } from "../learner.js";
import { mean } from "../losses.js";
import { byShape, scalar } from "../programs.js";
import { discriminatorParameters, under, type Weights } from "../weights.js";
import { hingeLoss } from "./adversarial.js";
import type { AdversarialConfig } from "./config.js";

/** Prefix of the discriminator's parameters. */
export const DISCRIMINATOR = "discriminator";

/** A discriminator in training. */
export interface Adversary extends AsyncDisposable {
  /** Holds `discriminator.*`. */
  readonly store: ParameterStore;
  /** Adds the gradients of a batch of pictures [B,3,H,W] and of what was made of them. */
  run(real: Tensor, fake: Tensor): Promise<Record<string, number>>;
  /** Takes a step; `step` counts those of the run. */
  update(step: number): Promise<void>;
}

/** Starts to train a discriminator from `start`, its weights by name, for a run of so many steps. */
export function openAdversary(
  config: AdversarialConfig,
  engine: TrainingEngine,
  start: Weights,
  steps: number,
): Promise<Adversary> {
  return opening(async (use) => {
    const declared = [...discriminatorParameters(config).values()].map((d) => ({
      ...d,
      name: `${DISCRIMINATOR}.${d.name}`,
    }));
    const specs = parameterSpecs(declared, under(DISCRIMINATOR, start));
    const options = { label: DISCRIMINATOR, optimizer: config.optimizer };
    const store = use(await engine.store(specs, options));
    const programs = use(byShape((shape) => discriminatorProgram(config, engine, store, shape)));
    const { learningRate } = config;
    const update = scheduledUpdate(store, {
      learningRate,
      steps: Math.max(1, steps - config.start),
    });
    return {
      store,
      async run(real: Tensor, fake: Tensor) {
        const out = await (await programs.get(real.shape)).run({ real, fake });
        return {
          discriminator: scalar(out.loss),
          logitsReal: scalar(out.logitsReal),
          logitsFake: scalar(out.logitsFake),
        };
      },
      async update(step: number) {
        await update(step - config.start);
      },
    };
  });
}

function discriminatorProgram(
  config: AdversarialConfig,
  engine: TrainingEngine,
  store: ParameterStore,
  shape: readonly number[],
) {
  const p = denseParams().at(DISCRIMINATOR);
  const [real, fake] = ["real", "fake"].map((name) => discriminator(p, config, input(name, shape)));
  const loss = hingeLoss(real!, fake!);
  const outputs = { loss, logitsReal: mean(real!), logitsFake: mean(fake!) };
  const gradients = gradientsOf(loss, store.names);
  return engine.program(outputs, { label: DISCRIMINATOR, stores: [store], gradients });
}
