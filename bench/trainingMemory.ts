/**
 * Memory of a backward pass at Stable Diffusion 1.5's exact shapes: the UNet with random weights, one
 * picture, the gradients of all 860 million parameters. With every activation kept, as fast as can be and
 * in least memory, and with fewer kept and the others worked out again; each in a process of its own, after
 * a prediction from the graph alone. Adds what it measured to bench/results/trainingMemory.json.
 *
 *     npx tsx bench/trainingMemory.ts [--side 512] [--steps 2] [--threads N] [--norms] [--predict] [WAY...]
 *
 * It takes up to 14 GB at 512 pixels. `--norms` takes 3.4 GB less: of the gradients only the norms leave the
 * engine, none is kept. `--predict` measures nothing.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { productsAndSums, residualSums } from "../src/graph/checkpoints.js";
import { type Graph, graphOf, manifest } from "../src/graph/graph.js";
import { peakActivationBytes } from "../src/graph/liveness.js";
import * as op from "../src/graph/ops.js";
import type { Value } from "../src/graph/value.js";
import { SD1_UNET } from "../src/models/unet/config.js";
import { unet } from "../src/models/unet/model.js";
import { denseParams } from "../src/nn/layers.js";
import { nodePlatform } from "../src/platform/node/platform.js";
import { nodeEngine } from "../src/runtime/node/engine.js";
import type { ParameterSpec } from "../src/runtime/training.js";
import { sizeOf, type Tensor, tensor } from "../src/tensor/tensor.js";
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

/** What is measured. */
interface Case {
  /** Pixels of the picture's side. */
  readonly side: number;
  /** A key of `WAYS`. */
  readonly kept: string;
  /** Where gradients go: into a store, as in training, or nowhere, all but their norms. */
  readonly gradients: "store" | "norms";
}

/** What one way of training takes, by prediction from the graph. */
interface Prediction {
  /** Results that are alive at once, gradients not counted. */
  readonly activationBytes: number;
  /** Of the parameters; gradients take as much, AdamW twice as much, an average as much. */
  readonly parameterBytes: number;
}

/** What one way of training took. */
interface Measured {
  /** Of the process before the first step: parameters, the engine, and gradients, yet untouched. */
  readonly restBytes: number;
  /** Of the process, at its highest in each step. */
  readonly peakBytes: readonly number[];
  readonly seconds: readonly number[];
  readonly threads: number | undefined;
  readonly loss: number;
  /** Euclidean, of all gradients together. */
  readonly gradientNorm: number;
}

type Point = Case & { readonly predicted: Prediction; readonly measured?: Measured };

interface Settings {
  readonly steps: number;
  readonly threads: number | undefined;
}

const inputShapes = (side: number) => ({
  x: [1, 4, side / 8, side / 8],
  t: [1],
  context: [1, 77, SD1_UNET.crossAttentionDim],
});

/** VmRSS or VmHWM, in bytes. */
function memory(field: "VmRSS" | "VmHWM"): number {
  const status = readFileSync("/proc/self/status", "utf8");
  return 1024 * Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)![1]);
}

/** The loss of one batch. */
function denoisingLoss(side: number): Value {
  const shapes = inputShapes(side);
  const inputs = {
    x: op.input("x", shapes.x),
    t: op.input("t", shapes.t),
    context: op.input("context", shapes.context),
  };
  const difference = op.sub(unet(denseParams(), SD1_UNET, inputs), op.input("target", shapes.x));
  const total = op.sum(op.mul(difference, difference), [0, 1, 2, 3]);
  return op.reshape(op.mul(total, 1 / sizeOf(shapes.x)), []);
}

/** Squared norms of gradients, from the last layer's on, as one output. */
function squares(gradients: ReadonlyMap<string, Value>): Value {
  const sums = Array.from(gradients.values(), (g) =>
    op.reshape(op.sum(op.mul(g, g), [...g.shape.keys()]), [1]),
  );
  return op.concat(sums.reverse(), 0);
}

/** The forward pass with its loss, the gradients, and a graph of both. */
function trainingOf({ side, kept }: Case): {
  readonly forward: Graph;
  readonly loss: Value;
  readonly gradients: ReadonlyMap<string, Value>;
} {
  const loss = denoisingLoss(side);
  const forward = graphOf({ loss });
  return {
    forward,
    loss,
    gradients: gradientsOf(loss, forward.params.keys(), WAYS[kept]!.keep(loss)),
  };
}

function predict(which: Case): Prediction {
  const { forward, loss, gradients } = trainingOf(which);
  const graph = graphOf({ loss, squares: squares(gradients) });
  const parameters = [...manifest(forward).values()].reduce((n, shape) => n + sizeOf(shape), 0);
  return { activationBytes: peakActivationBytes(graph, {}), parameterBytes: 4 * parameters };
}

/** Numbers in [-1, 1) that look random; any piece of them does. */
function pool(): Float32Array {
  return Float32Array.from({ length: 30_000_000 }, (_, i) => Math.sin(i * 12.9898) % 1);
}

/** Random weights of a graph's parameters, of a size that keeps results near 1. */
function randomWeights(forward: Graph, numbers: Float32Array): ParameterSpec[] {
  return [...manifest(forward)].map(([name, shape]) => {
    const gain = shape.length === 1 ? 0.05 : Math.sqrt(3 / sizeOf(shape.slice(1)));
    const one = shape.length === 1 && name.endsWith("weight") ? 1 : 0;
    const data = numbers.slice(0, sizeOf(shape));
    for (let i = 0; i < data.length; i++) data[i] = one + gain * data[i]!;
    return { name, shape, data };
  });
}

async function measure(which: Case, { steps, threads }: Settings): Promise<Measured> {
  const { forward, loss, gradients } = trainingOf(which);
  const { leastMemory } = WAYS[which.kept]!;
  const numbers = pool();
  const platform = nodePlatform();
  await using engine = nodeEngine({ platform, device: "cpu", cacheLimit: 0, threads });
  const specs = randomWeights(forward, numbers);
  const options = { label: "unet", optimizer: { kind: "sgd" } } as const;
  await using store = await engine.training.store(specs, options);
  specs.length = 0;
  const common = { label: "unet", stores: [store], leastMemory };
  await using program =
    which.gradients === "store"
      ? await engine.training.program({ loss }, { ...common, gradients })
      : await engine.training.program({ loss, squares: squares(gradients) }, common);
  globalThis.gc?.();

  const random = (shape: readonly number[]) => tensor(shape, numbers.slice(0, sizeOf(shape)));
  const { x, t, context } = inputShapes(which.side);
  const batch = { x: random(x), t: tensor(t, Float32Array.of(500)), context: random(context) };
  const inputs = { ...batch, target: random(x) };
  const normOf = async (outputs: Readonly<Record<string, Tensor>>, step: number) =>
    which.gradients === "store"
      ? (await store.update({ step, learningRate: 0 })).gradientNorm
      : Math.sqrt(outputs.squares!.data.reduce((sum, square) => sum + square, 0));
  const restBytes = memory("VmRSS");
  const [peakBytes, seconds]: [number[], number[]] = [[], []];
  const found: { loss: number; gradientNorm: number }[] = [];
  for (let step = 0; step < steps; step++) {
    writeFileSync("/proc/self/clear_refs", "5"); // forgets the peak so far
    const start = performance.now();
    const outputs = await program.run(inputs);
    seconds.push((performance.now() - start) / 1000);
    peakBytes.push(memory("VmHWM"));
    found.push({ loss: outputs.loss!.data[0]!, gradientNorm: await normOf(outputs, step) });
  }
  return { restBytes, peakBytes, seconds, threads, ...found[0]! };
}

const FILE = resolve(import.meta.dirname, "results/trainingMemory.json");

/** Puts a point among those of other runs, in the place of its own kind; a prediction leaves what was measured. */
function keep(point: Point): void {
  const known: { points?: readonly Point[] } = existsSync(FILE)
    ? JSON.parse(readFileSync(FILE, "utf8"))
    : {};
  const isSame = (other: Point): boolean =>
    other.side === point.side && other.kept === point.kept && other.gradients === point.gradients;
  const all = known.points ?? [];
  const mine = { ...all.find(isSame), ...point };
  const points = [...all.filter((other) => !isSame(other)), mine].sort(
    (a, b) =>
      a.side - b.side ||
      a.gradients.localeCompare(b.gradients) ||
      Object.keys(WAYS).indexOf(a.kept) - Object.keys(WAYS).indexOf(b.kept),
  );
  const what = { model: "UNet of Stable Diffusion 1.5", batch: 1, dtype: "float32" };
  mkdirSync(resolve(FILE, ".."), { recursive: true });
  writeFileSync(FILE, `${JSON.stringify({ machine: machine(), ...what, points }, null, 2)}\n`);
}

/** The same measurement in a process of its own, whose memory is its alone. */
function inChild(which: Case, settings: Settings): Measured {
  const child = JSON.stringify({ which, settings });
  const args = ["--expose-gc", "--import", "tsx", import.meta.filename, "--child", child];
  const { stdout, status } = spawnSync(process.execPath, args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (status !== 0) throw new Error(`keeping ${which.kept} ended with ${status}`);
  return JSON.parse(stdout) as Measured;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    side: { type: "string", default: "512" },
    steps: { type: "string", default: "2" },
    threads: { type: "string" },
    norms: { type: "boolean", default: false },
    predict: { type: "boolean", default: false },
    child: { type: "string" },
  },
});
if (values.child !== undefined) {
  const { which, settings } = JSON.parse(values.child);
  console.log(JSON.stringify(await measure(which, settings)));
} else {
  const threads = values.threads === undefined ? undefined : Number(values.threads);
  for (const kept of positionals.length === 0 ? Object.keys(WAYS) : positionals) {
    if (!Object.hasOwn(WAYS, kept)) throw new Error(`no way "${kept}": ${Object.keys(WAYS)}`);
    const gradients = values.norms ? "norms" : "store";
    const which: Case = { side: Number(values.side), kept, gradients };
    const predicted = predict(which);
    const settings = { steps: Number(values.steps), threads };
    const point: Point = values.predict
      ? { ...which, predicted }
      : { ...which, predicted, measured: inChild(which, settings) };
    console.error(JSON.stringify(point));
    keep(point);
  }
}
