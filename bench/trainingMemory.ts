/**
 * Memory of a backward pass at Stable Diffusion 1.5's exact shapes: the UNet with random weights, one
 * picture of 512 x 512 pixels, the gradients of all 860 million parameters, into a store. With every
 * activation kept, as fast as can be and in least memory, and with fewer kept and the others worked
 * out again; each in a process of its own. Writes bench/results/trainingMemory.json.
 * Run: npx tsx bench/trainingMemory.ts
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { productsAndSums, residualSums } from "../src/graph/checkpoints.js";
import { graphOf, manifest } from "../src/graph/graph.js";
import { peakActivationBytes } from "../src/graph/liveness.js";
import * as op from "../src/graph/ops.js";
import type { Value } from "../src/graph/value.js";
import { SD1_UNET } from "../src/models/unet/config.js";
import { unet } from "../src/models/unet/model.js";
import { denseParams } from "../src/nn/layers.js";
import { nodePlatform } from "../src/platform/node/platform.js";
import { nodeEngine } from "../src/runtime/node/engine.js";
import { sizeOf, tensor } from "../src/tensor/tensor.js";
import { gradientsOf } from "../src/training/learner.js";
import { machine } from "./workers.js";

interface Way {
  readonly keep: (loss: Value) => ReadonlySet<Value> | undefined;
  readonly leastMemory: boolean;
}

const everything = (): undefined => undefined;

/** By what is kept of the forward pass. */
const WAYS: Readonly<Record<string, Way>> = {
  all: { keep: everything, leastMemory: false },
  "all, least memory": { keep: everything, leastMemory: true },
  "products and sums": { keep: productsAndSums, leastMemory: true },
  "residual sums": { keep: residualSums, leastMemory: true },
};

/** What one way of training took. */
interface Point {
  readonly kept: string;
  /** Predicted from the graph, gradients included. */
  readonly predictedBytes: number;
  /** Of the gradients, which lie in the store: untouched memory before the first step. */
  readonly gradientBytes: number;
  /** Of the process, before the first step. */
  readonly restBytes: number;
  /** Of the process, at its highest in each step. */
  readonly peakBytes: readonly number[];
  readonly seconds: readonly number[];
  readonly loss: number;
  /** Euclidean, of all gradients together. */
  readonly gradientNorm: number;
}

const STEPS = 2;
const SHAPES = { x: [1, 4, 64, 64], t: [1], context: [1, 77, SD1_UNET.crossAttentionDim] } as const;

/** Numbers in [-1, 1) that look random; any piece of them does. */
const POOL = Float32Array.from({ length: 30_000_000 }, (_, i) => Math.sin(i * 12.9898) % 1);

/** VmRSS or VmHWM, in bytes. */
function memory(field: "VmRSS" | "VmHWM"): number {
  const status = readFileSync("/proc/self/status", "utf8");
  return 1024 * Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)![1]);
}

/** The loss of one batch. */
function denoisingLoss(): Value {
  const inputs = {
    x: op.input("x", SHAPES.x),
    t: op.input("t", SHAPES.t),
    context: op.input("context", SHAPES.context),
  };
  const difference = op.sub(unet(denseParams(), SD1_UNET, inputs), op.input("target", SHAPES.x));
  const total = op.sum(op.mul(difference, difference), [0, 1, 2, 3]);
  return op.reshape(op.mul(total, 1 / sizeOf(SHAPES.x)), []);
}

async function measure(kept: string): Promise<Point> {
  const { keep, leastMemory } = WAYS[kept]!;
  const loss = denoisingLoss();
  const forward = graphOf({ loss });
  const gradients = gradientsOf(loss, forward.params.keys(), keep(loss));
  const graph = graphOf({ loss, ...Object.fromEntries(gradients) });
  await using engine = nodeEngine({ platform: nodePlatform(), device: "cpu", cacheLimit: 0 });
  const specs = [...manifest(forward)].map(([name, shape]) => {
    const gain = shape.length === 1 ? 0.05 : Math.sqrt(3 / sizeOf(shape.slice(1)));
    const one = shape.length === 1 && name.endsWith("weight") ? 1 : 0;
    const data = POOL.slice(0, sizeOf(shape)).map((u) => one + gain * u);
    return { name, shape, data };
  });
  const optimizer = { kind: "sgd" } as const;
  await using store = await engine.training.store(specs, { label: "unet", optimizer });
  const gradientBytes = 4 * specs.reduce((n, { data }) => n + data.length, 0);
  specs.length = 0;
  const options = { label: "unet", stores: [store], gradients, leastMemory };
  await using program = await engine.training.program({ loss }, options);
  globalThis.gc?.();

  const noise = (shape: readonly number[]) => tensor(shape, POOL.slice(0, sizeOf(shape)));
  const inputs = {
    x: noise(SHAPES.x),
    t: tensor(SHAPES.t, Float32Array.of(500)),
    context: noise(SHAPES.context),
    target: noise(SHAPES.x),
  };
  const restBytes = memory("VmRSS");
  const [peakBytes, seconds, losses, norms]: [number[], number[], number[], number[]] = [
    [],
    [],
    [],
    [],
  ];
  for (let step = 0; step < STEPS; step++) {
    writeFileSync("/proc/self/clear_refs", "5"); // forgets the peak so far
    const start = performance.now();
    const outputs = await program.run(inputs);
    seconds.push((performance.now() - start) / 1000);
    peakBytes.push(memory("VmHWM"));
    losses.push(outputs.loss!.data[0]!);
    norms.push((await store.update({ step, learningRate: 0 })).gradientNorm);
  }
  const predictedBytes = peakActivationBytes(graph, {});
  const found = { loss: losses[0]!, gradientNorm: norms[0]! };
  return { kept, predictedBytes, gradientBytes, restBytes, peakBytes, seconds, ...found };
}

const child = process.argv[2];
if (child !== undefined) {
  console.log(JSON.stringify(await measure(child)));
} else {
  const points = Object.keys(WAYS).map((kept): Point => {
    const args = ["--expose-gc", "--import", "tsx", import.meta.filename, kept];
    const { stdout, status } = spawnSync(process.execPath, args, {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
    });
    if (status !== 0) throw new Error(`keeping ${kept} ended with ${status}`);
    process.stderr.write(stdout);
    return JSON.parse(stdout) as Point;
  });
  const file = resolve(import.meta.dirname, "results/trainingMemory.json");
  mkdirSync(resolve(file, ".."), { recursive: true });
  const what = { model: "UNet of Stable Diffusion 1.5", batch: 1, side: 512, dtype: "float32" };
  writeFileSync(file, `${JSON.stringify({ machine: machine(), ...what, points }, null, 2)}\n`);
}
