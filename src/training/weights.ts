import type { Init, ParamDeclaration } from "../nn/params.js";
import type { TorchGenerator } from "../tensor/mt19937.js";
import { sizeOf, type Tensor, tensor } from "../tensor/tensor.js";
import { randomFor } from "./random.js";

/** Named tensors in memory. */
export type Weights = ReadonlyMap<string, Tensor>;

function draw(init: Init, n: number, random: () => TorchGenerator): Float32Array<ArrayBuffer> {
  switch (init.kind) {
    case "constant":
      return new Float32Array(n).fill(init.value);
    case "normal":
      return random()
        .randn(n)
        .map((x) => x * init.std + (init.mean ?? 0));
    case "uniform":
      return random()
        .rand(n)
        .map((x) => (2 * x - 1) * init.bound);
  }
}

/**
 * Every declared parameter as its layer says that it starts. Each is drawn for itself, from the
 * seed and its name, so that a layer more or less changes no other.
 */
export function initialWeights(declared: Iterable<ParamDeclaration>, seed: number): Weights {
  return new Map(
    Array.from(declared, ({ name, shape, init }) => {
      const random = (): TorchGenerator => randomFor(seed, `weight/${name}`);
      return [name, tensor(shape, draw(init, sizeOf(shape), random))] as const;
    }),
  );
}

/** The tensors whose names begin with `prefix.`, without it. */
export function below(weights: Weights, prefix: string): Weights {
  return new Map(
    [...weights]
      .filter(([name]) => name.startsWith(`${prefix}.`))
      .map(([name, value]) => [name.slice(prefix.length + 1), value]),
  );
}

/** The same tensors, each named `prefix.name`. */
export function under(prefix: string, weights: Weights): Weights {
  return new Map([...weights].map(([name, value]) => [`${prefix}.${name}`, value]));
}
