import { grad } from "../graph/grad.js";
import { graphOf } from "../graph/graph.js";
import { deepestFirst } from "../graph/liveness.js";
import type { Value } from "../graph/value.js";
import type { ParamDeclaration } from "../nn/params.js";
import { learningRateAt } from "../optim/index.js";
import type { ParameterSpec, ParameterStore, StoreOptions } from "../runtime/training.js";
import type { Tensor } from "../tensor/tensor.js";
import { check, invariant } from "../util/errors.js";
import { type LearningConfig, type RunConfig, scheduleOf } from "./config.js";
import type { Weights } from "./weights.js";

/*
 * What the trainers have in common: parameters in a store, gradients, updates, programs.
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

/** The number in a scalar output. */
export function scalar(value: Tensor | undefined): number {
  invariant(value?.data.length === 1, "an output is no scalar");
  return value.data[0]!;
}

/** Programs by the shape of their batch, each made when a batch first has that shape. */
export function byShape<P extends AsyncDisposable>(
  make: (shape: readonly number[]) => Promise<P>,
): { get(shape: readonly number[]): Promise<P> } & AsyncDisposable {
  const programs = new Map<string, Promise<P>>();
  return {
    get(shape) {
      const known = programs.get(`${shape}`) ?? make(shape);
      programs.set(`${shape}`, known);
      return known;
    },
    async [Symbol.asyncDispose]() {
      for (const made of programs.values()) {
        const program = await made.catch(() => undefined); // whoever asked for it was told
        await program?.[Symbol.asyncDispose]();
      }
    },
  };
}

/** PSNR in dB of a mean squared error, for values in [-1,1]. */
export function psnr(mse: number): number {
  return 10 * Math.log10(4 / mse);
}

/** Throws "bad-argument" for pictures that do not divide into latents of factor x factor pixels. */
export function checkSizes(
  { sizes }: { readonly sizes: readonly (readonly [width: number, height: number])[] },
  factor: number,
): void {
  const odd = sizes.find(([width, height]) => width % factor !== 0 || height % factor !== 0);
  check(
    odd === undefined,
    "bad-argument",
    `data: pictures of ${odd?.join("x")} do not divide into latents of ${factor}x${factor} pixels. ` +
      `Set the data's resolution, crop and multipleOf to multiples of ${factor}.`,
  );
}
