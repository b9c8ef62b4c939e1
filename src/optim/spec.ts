/*
 * What an optimizer, a schedule and an average are, as plain data: they cross threads and stand in
 * configs. Numbers that are left out are PyTorch's defaults.
 */

interface AdamOptions {
  /** Decay rates of the two moments; [0.9, 0.999] by default. */
  readonly betas?: readonly [number, number];
  /** Added to the root of the second moment; 1e-8 by default. */
  readonly epsilon?: number;
}

/** Which optimizer, and everything it is told besides the learning rate. */
export type OptimizerSpec =
  /** Loshchilov & Hutter 2019: the decay is apart from the gradient; 0.01 by default. */
  | ({ readonly kind: "adamw"; readonly weightDecay?: number } & AdamOptions)
  /** Kingma & Ba 2015: the decay is part of the gradient (L2); 0 by default. */
  | ({ readonly kind: "adam"; readonly weightDecay?: number } & AdamOptions)
  /** Stochastic gradient descent; momentum and decay (L2) are 0 by default. */
  | {
      readonly kind: "sgd";
      readonly momentum?: number;
      readonly nesterov?: boolean;
      readonly weightDecay?: number;
    }
  /** Chen et al. 2023, Algorithm 2: the sign of a momentum; betas [0.9, 0.99], decay 0 by default. */
  | {
      readonly kind: "lion";
      readonly betas?: readonly [number, number];
      readonly weightDecay?: number;
    };

/** How the learning rate changes from step to step, as diffusers.optimization.get_scheduler has it. */
export type ScheduleSpec = {
  /** The highest rate. */
  readonly learningRate: number;
  /** Steps on which it rises from 0 to the highest; 0 by default. */
  readonly warmup?: number;
} & (
  | { readonly kind: "constant" }
  /** Falls to 0 at step `steps`, along half a cosine or a line. */
  | { readonly kind: "cosine" | "linear"; readonly steps: number }
);

/** An exponential moving average of the parameters. */
export interface EmaSpec {
  /** Share of the old average that stays on each step, such as 0.9999. */
  readonly decay: number;
  /** Begins with min(decay, (1 + n) / (10 + n)) at the n-th update, counted from 1, as LDM's LitEma does. */
  readonly warmup?: boolean;
}
