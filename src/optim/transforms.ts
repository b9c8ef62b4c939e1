import type { Kernels } from "./kernels.js";
import type { EmaSpec, OptimizerSpec } from "./spec.js";
import { chain, mover, type Transform } from "./transform.js";

/*
 * The transformations there are. State has the names that torch.optim gives it.
 */

type Of<K extends OptimizerSpec["kind"]> = Omit<Extract<OptimizerSpec, { kind: K }>, "kind">;

/**
 * Measures the global norm of the gradients, halts the chain where it is not finite, and scales them
 * down to norm `max` where it is larger. Source: torch.nn.utils.clip_grad_norm_.
 */
export function clipByGlobalNorm(
  kernels: Kernels,
  max: number = Number.POSITIVE_INFINITY,
): Transform {
  return {
    parts: [],
    init: () => {},
    update(parameters, step) {
      let squares = 0;
      for (const { gradient, gathered } of parameters) {
        if (gathered > 0) squares += kernels.sumOfSquares(gradient) / gathered ** 2;
      }
      const gradientNorm = Math.sqrt(squares);
      const scale = step.scale * Math.min(1, max / (gradientNorm + 1e-6));
      return { ...step, gradientNorm, scale, halted: !Number.isFinite(gradientNorm) };
    },
  };
}

interface MomentsOptions {
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  /** Weight decay that is added to the gradient, and that shrinks the parameter by itself. */
  readonly l2: number;
  readonly shrinking: number;
}

function moments(kernels: Kernels, { betas, epsilon, l2, shrinking }: MomentsOptions): Transform {
  return mover(["exp_avg", "exp_avg_sq"], (p, { step, scale, learningRate }) => {
    kernels.adam(p.value, p.gradient, p.state.exp_avg!, p.state.exp_avg_sq!, {
      scale,
      l2: p.decay ? l2 : 0,
      shrink: p.decay ? 1 - learningRate * shrinking : 1,
      betas,
      stepSize: learningRate / (1 - betas[0] ** (step + 1)),
      rootScale: 1 / Math.sqrt(1 - betas[1] ** (step + 1)),
      epsilon,
    });
  });
}

/** Adam whose decay is apart from the gradient. Loshchilov & Hutter 2019, Algorithm 2. */
export function adamw(
  kernels: Kernels,
  { betas = [0.9, 0.999], epsilon = 1e-8, weightDecay = 0.01 }: Of<"adamw"> = {},
): Transform {
  return moments(kernels, { betas, epsilon, l2: 0, shrinking: weightDecay });
}

/** Adam. Kingma & Ba 2015, Algorithm 1, with L2 decay as torch.optim.Adam has it. */
export function adam(
  kernels: Kernels,
  { betas = [0.9, 0.999], epsilon = 1e-8, weightDecay = 0 }: Of<"adam"> = {},
): Transform {
  return moments(kernels, { betas, epsilon, l2: weightDecay, shrinking: 0 });
}

/** Stochastic gradient descent, with momentum as torch.optim.SGD has it (no dampening). */
export function sgd(
  kernels: Kernels,
  { momentum = 0, nesterov = false, weightDecay = 0 }: Of<"sgd"> = {},
): Transform {
  const parts = momentum === 0 ? [] : ["momentum_buffer"];
  return mover(parts, (p, { scale, learningRate }) => {
    const numbers = { scale, l2: p.decay ? weightDecay : 0, learningRate };
    if (momentum === 0) kernels.sgd(p.value, p.gradient, numbers);
    else {
      const all = { ...numbers, momentum, nesterov };
      kernels.momentum(p.value, p.gradient, p.state.momentum_buffer!, all);
    }
  });
}

/** Lion. Chen et al. 2023, Algorithm 2. */
export function lion(
  kernels: Kernels,
  { betas = [0.9, 0.99], weightDecay = 0 }: Of<"lion"> = {},
): Transform {
  return mover(["exp_avg"], (p, { scale, learningRate }) => {
    const shrink = p.decay ? 1 - learningRate * weightDecay : 1;
    const numbers = { scale, shrink, learningRate, betas };
    kernels.lion(p.value, p.gradient, p.state.exp_avg!, numbers);
  });
}

/** Share of the old average that stays at update `step`, counted from 0. */
export function emaDecayAt({ decay, warmup = false }: EmaSpec, step: number): number {
  const n = step + 1;
  return warmup ? Math.min(decay, (1 + n) / (10 + n)) : decay;
}

/** Averages the parameters as they are after each step. */
export function ema(kernels: Kernels, spec: EmaSpec): Transform {
  return {
    parts: ["ema"],
    init: ({ value, state }) => state.ema!.set(value),
    update(parameters, step) {
      const share = 1 - emaDecayAt(spec, step.step);
      for (const { value, state } of parameters) kernels.lerp(state.ema!, value, share);
      return step;
    },
  };
}

/** The transformation that `spec` names. */
export function optimizer(spec: OptimizerSpec, kernels: Kernels): Transform {
  switch (spec.kind) {
    case "adamw":
      return adamw(kernels, spec);
    case "adam":
      return adam(kernels, spec);
    case "sgd":
      return sgd(kernels, spec);
    case "lion":
      return lion(kernels, spec);
  }
}

/** What an update is made of. */
export interface UpdateSpec {
  readonly optimizer: OptimizerSpec;
  /** Largest global norm of the gradients. */
  readonly clip?: number | undefined;
  readonly ema?: EmaSpec | undefined;
}

/** Measures and clips the gradients, moves the parameters, averages them. */
export function updateChain(spec: UpdateSpec, kernels: Kernels): Transform {
  return chain(
    clipByGlobalNorm(kernels, spec.clip),
    optimizer(spec.optimizer, kernels),
    ...(spec.ema ? [ema(kernels, spec.ema)] : []),
  );
}
