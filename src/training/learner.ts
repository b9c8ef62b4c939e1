import { grad } from "../graph/grad.js";
import { graphOf } from "../graph/graph.js";
import { deepestFirst } from "../graph/liveness.js";
import type { Value } from "../graph/value.js";
import type { ParamDeclaration } from "../nn/params.js";
import { learningRateAt } from "../optim/index.js";
import type { ParameterSpec, ParameterStore, StoreOptions } from "../runtime/training.js";
import { invariant } from "../util/errors.js";
import { type LearningConfig, type RunConfig, scheduleOf } from "./config.js";
import type { Weights } from "./weights.js";

/*
 * How parameters learn, which the trainers have in common: a store of them, gradients, updates.
 */

/** Parameters to train, from their declarations and where they start. `rate` is times the learning rate. */
export function parameterSpecs(
  declared: Iterable<ParamDeclaration>,
  start: Weights,
  rate = 1,
): ParameterSpec[] {
  return Array.from(declared, ({ name, shape }) => {
    const value = start.get(name);
    invariant(value !== undefined, `the parameter ${name} has no value to start from`);
    return { name, shape, data: value.data, rate };
  });
}

/** How a store is trained that a config describes. */
export function storeOptions(
  label: string,
  { optimizer, clip, ema }: Pick<LearningConfig, "optimizer" | "clip" | "ema">,
): StoreOptions {
  return { label, optimizer, ...(clip === null ? {} : { clip }), ...(ema === null ? {} : { ema }) };
}

/** What one optimizer step did. */
export interface Updated {
  /** Global norm of the gradients, before clipping. */
  readonly gradientNorm: number;
  readonly learningRate: number;
}

/** Takes steps of a store, counted from 0, at the learning rates of a run of so many steps. */
export function scheduledUpdate(
  store: ParameterStore,
  { learningRate: rates, steps }: Pick<LearningConfig & RunConfig, "learningRate" | "steps">,
): (step: number) => Promise<Updated> {
  const schedule = scheduleOf(rates, steps);
  return async (step) => {
    const learningRate = learningRateAt(schedule, step);
    return { ...(await store.update({ step, learningRate })), learningRate };
  };
}

/**
 * Gradients of a loss by parameter, for those of `names` that it depends on. `keep`: all results of
 * the forward pass that may be kept for them, where not all may.
 */
export function gradientsOf(
  loss: Value,
  names: Iterable<string>,
  keep?: ReadonlySet<Value>,
): ReadonlyMap<string, Value> {
  const { params } = graphOf({ loss });
  const trained = [...names].filter((name) => params.has(name));
  const gradients = grad(
    loss,
    trained.map((name) => params.get(name)!),
    keep === undefined ? {} : { keep },
  );
  return deepestFirst(new Map(trained.map((name, i) => [name, gradients[i]!])));
}

/** The parameters as they are to be used: averaged, where the store keeps an average. */
export function learned(store: ParameterStore): Promise<Weights> {
  return store.read(store.parts.includes("ema") ? "ema" : "params");
}
