/*
 * Optimizers are transformations in a chain, each a pair of `init` and `update`: one measures and
 * clips, one moves the parameters, one averages them. Gradients are never rewritten on the way: what
 * they are scaled by is handed on, so that a whole chain reads and writes each array once.
 */

/** One parameter and what is kept beside it: float32 arrays of one length, changed in place. */
export interface Parameter {
  readonly name: string;
  readonly value: Float32Array;
  /** The sum of `gathered` gradients; means nothing while that is 0. */
  readonly gradient: Float32Array;
  readonly gathered: number;
  /** Times the learning rate. */
  readonly rate: number;
  /** Whether weight decay applies. */
  readonly decay: boolean;
  /** What transformations keep, by part. */
  readonly state: Readonly<Record<string, Float32Array>>;
}

/** What is known about a step; each transformation hands it on to the next. */
export interface Step {
  /** Counted from 0. */
  readonly step: number;
  readonly learningRate: number;
  /** Times the mean gradient. */
  readonly scale: number;
  /** Global norm of the mean gradients as they came. */
  readonly gradientNorm: number;
  /** Nothing more is to be done: the gradients are no numbers. */
  readonly halted: boolean;
}

/** A transformation of gradients, or of what they do to the parameters. */
export interface Transform {
  /** Arrays that it keeps with every parameter, by name. */
  readonly parts: readonly string[];
  /** Fills its arrays of one parameter, which are zero, with what they are before the first step. */
  init(parameter: Parameter): void;
  /** Does its share of one step. */
  update(parameters: readonly Parameter[], step: Step): Step;
}

/** One transformation after the other. */
export function chain(...transforms: readonly Transform[]): Transform {
  return {
    parts: transforms.flatMap((t) => t.parts),
    init: (parameter) => {
      for (const t of transforms) t.init(parameter);
    },
    update: (parameters, step) =>
      transforms.reduce((s, t) => (s.halted ? s : t.update(parameters, s)), step),
  };
}

/** Where a chain begins. */
export function firstStep(step: number, learningRate: number): Step {
  return { step, learningRate, scale: 1, gradientNorm: 0, halted: false };
}

/** A transformation that moves each parameter by itself; one without a gradient stays as it is. */
export function mover(
  parts: readonly string[],
  move: (parameter: Parameter, step: Step) => void,
): Transform {
  return {
    parts,
    init: () => {},
    update(parameters, step) {
      for (const p of parameters) {
        if (p.gathered > 0) {
          const scale = step.scale / p.gathered;
          move(p, { ...step, scale, learningRate: step.learningRate * p.rate });
        }
      }
      return step;
    },
  };
}
