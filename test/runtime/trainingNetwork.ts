import { grad } from "../../src/graph/grad.js";
import * as op from "../../src/graph/ops.js";
import type { Value } from "../../src/graph/value.js";
import { nodePlatform } from "../../src/platform/node/platform.js";
import type { Engine } from "../../src/runtime/engine.js";
import { nodeEngine } from "../../src/runtime/node/engine.js";
import type {
  ParameterSpec,
  ParameterStore,
  StoreOptions,
  TrainingProgram,
} from "../../src/runtime/training.js";
import { type Tensor, tensor } from "../../src/tensor/tensor.js";
import { pseudoRandom } from "../engine/run.js";

/*
 * A small network that is trained in tests.
 */

/** An engine of two threads. */
export const open = (device: "cpu" | "wasm" = "cpu"): Engine =>
  nodeEngine({ platform: nodePlatform(), device, threads: 2, cacheLimit: 0 });

/** Convolutions, a table of rows and a linear layer: what weights are in most models. */
const SHAPES: Readonly<Record<string, readonly number[]>> = {
  "net.conv.weight": [16, 3, 3, 3],
  "net.conv.bias": [16],
  "net.middle.weight": [16, 16, 3, 3], // kept in blocks, where the engine has blocked kernels
  "net.table.weight": [5, 16],
  "net.out.weight": [2, 16],
};

export interface Loss {
  readonly loss: Value;
  readonly prediction: Value;
  readonly gradients: ReadonlyMap<string, Value>;
}

/** The network's loss over pictures x [B,3,6,6], rows ids [B] and targets y [B,2]. */
export function network(batch: number): Loss {
  const params = Object.entries(SHAPES).map(([name, shape]) => op.param(name, shape));
  const [conv, bias, middle, table, out] = params as [Value, Value, Value, Value, Value];
  const x = op.input("x", [batch, 3, 6, 6]);
  const ids = op.input("ids", [batch], "int");
  const y = op.input("y", [batch, 2]);
  const hidden = op.tanh(op.conv2d(x, conv, bias, { padding: 1, stride: 2 }));
  const features = op.tanh(op.conv2d(hidden, middle, undefined, { padding: 1 }));
  const pooled = op.mul(op.reshape(op.sum(features, [2, 3]), [batch, 16]), 1 / 9);
  const mixed = op.add(pooled, op.gather(table, ids));
  const prediction = op.matmul(mixed, out, { transB: true });
  const d = op.sub(prediction, y);
  const loss = op.reshape(op.mul(op.sum(op.mul(d, d), [0, 1]), 1 / (2 * batch)), []);
  const gradients = grad(loss, params);
  const names = Object.keys(SHAPES);
  return { loss, prediction, gradients: new Map(names.map((name, i) => [name, gradients[i]!])) };
}

/** Where its parameters start. */
export const start = (): ParameterSpec[] =>
  Object.entries(SHAPES).map(([name, shape], i) => {
    return { name, shape, data: pseudoRandom(shape, i + 1, [-0.5, 0.5]).data };
  });

export const ADAMW: StoreOptions = {
  label: "net",
  optimizer: { kind: "adamw" },
  clip: 0.5,
  ema: { decay: 0.9, warmup: true },
};

/** Pictures, rows and targets that follow from a step. */
export function batchOf(step: number, size = 4): Record<string, Tensor> {
  return {
    x: pseudoRandom([size, 3, 6, 6], 100 + step),
    ids: tensor(
      [size],
      Float32Array.from({ length: size }, (_, i) => (i + step) % 5),
    ),
    y: pseudoRandom([size, 2], 200 + step, [-1, 1]),
  };
}

export interface Net extends Loss {
  readonly store: ParameterStore;
  readonly program: TrainingProgram;
}

/** The network and a store of its parameters. */
export async function train(on: Engine, options: StoreOptions = ADAMW, size = 4): Promise<Net> {
  const net = network(size);
  const store = await on.training.store(start(), options);
  const { loss, gradients } = net;
  const program = await on.training.program({ loss }, { label: "net", stores: [store], gradients });
  return { ...net, store, program };
}

/** One step: the loss and the gradients' norm. */
export async function step({ program, store }: Net, n: number): Promise<readonly [number, number]> {
  const { loss } = await program.run(batchOf(n));
  const { gradientNorm } = await store.update({ step: n, learningRate: 1e-2 });
  return [loss!.data[0]!, gradientNorm];
}

/** All that a store holds: numbers by part and parameter. */
export async function contents(
  store: ParameterStore,
): Promise<Record<string, Record<string, number[]>>> {
  const all: Record<string, Record<string, number[]>> = {};
  for (const part of store.parts) {
    const values = await store.read(part);
    all[part] = Object.fromEntries([...values].map(([name, t]) => [name, [...t.data]]));
  }
  return all;
}
