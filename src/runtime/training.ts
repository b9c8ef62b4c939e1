import type { Value } from "../graph/value.js";
import type { EmaSpec, OptimizerSpec } from "../optim/spec.js";
import type { StoredTensors } from "../tensor/stored.js";
import type { Tensor } from "../tensor/tensor.js";

/** One parameter to train. */
export interface ParameterSpec {
  /** Its name in the graphs that use it: "unet.conv_in.weight". */
  readonly name: string;
  readonly shape: readonly number[];
  /** Where it starts, row-major. */
  readonly data: Float32Array;
  /** Times the learning rate; 1 by default. */
  readonly rate?: number;
  /** Whether weight decay applies; by default to parameters of more than one axis. */
  readonly decay?: boolean;
}

/** How the parameters of one store are trained. */
export interface StoreOptions {
  /** What messages call it. */
  readonly label: string;
  readonly optimizer: OptimizerSpec;
  /** Largest global norm of the gradients; they are scaled down to it. */
  readonly clip?: number;
  /** Keeps an average of the parameters, as part "ema". */
  readonly ema?: EmaSpec;
}

/**
 * float32 parameters where the engine reads them, with their gradients, averages and optimizer state.
 * Holds engine memory until it is disposed.
 */
export interface ParameterStore extends AsyncDisposable {
  readonly label: string;
  readonly names: readonly string[];
  /** "params", "ema" where there is one, then the optimizer's own: "exp_avg", "exp_avg_sq"... */
  readonly parts: readonly string[];
  /** A copy of one part of every parameter, row-major. */
  read(part: string): Promise<ReadonlyMap<string, Tensor>>;
  /** Replaces one part of some or all parameters. Throws "mismatch" for a name or shape it has not. */
  write(part: string, values: ReadonlyMap<string, Tensor>): Promise<void>;
  /**
   * Applies the gathered gradients, each divided by how often `run` added to it, then forgets them.
   * `step` counts from 0. A norm that is not finite applies nothing. The norm is that before clipping.
   */
  update(o: {
    readonly step: number;
    readonly learningRate: number;
  }): Promise<{ readonly gradientNorm: number }>;
}

/** A graph that is ready to run over the weights of stores. Holds engine memory until it is disposed. */
export interface TrainingProgram extends AsyncDisposable {
  /**
   * Runs once: returns the outputs and adds the gradients to their stores. Inputs of type int are
   * given as float tensors of whole numbers.
   */
  run(inputs: Readonly<Record<string, Tensor>>): Promise<Readonly<Record<string, Tensor>>>;
}

/** What a training program is made over. */
export interface ProgramOptions {
  /** What messages call it. */
  readonly label: string;
  /** Weights found here are fed on each run, as they are then. */
  readonly stores: readonly ParameterStore[];
  /** Gradients by the name of their parameter, which must be in one of the stores. */
  readonly gradients?: ReadonlyMap<string, Value>;
  /** All other weights: constants of the program. */
  readonly frozen?: StoredTensors;
  /**
   * Lets go of each result after its last use, for gradients in an order that allows it: takes two
   * thirds to a third of the memory and about as long. Default: false.
   */
  readonly leastMemory?: boolean;
}

/** An engine's ability to train. */
export interface TrainingEngine {
  /** Takes parameters into engine memory. */
  store(specs: readonly ParameterSpec[], options: StoreOptions): Promise<ParameterStore>;
  /**
   * Compiles a graph of static shapes. Without gradients it evaluates with the stores' current
   * weights. The engine orders its work by the outputs, which it gets in the given order: outputs
   * first, then gradients. Throws "mismatch" when a weight is missing, misshapen or in two stores.
   */
  program(
    outputs: Readonly<Record<string, Value>>,
    options: ProgramOptions,
  ): Promise<TrainingProgram>;
}
