import { afterAll, describe, expect, test } from "vitest";
import { readSafetensors } from "../../src/formats/index.js";
import { residualSums } from "../../src/graph/checkpoints.js";
import { gelu, quickGelu, silu, softmax } from "../../src/graph/composites.js";
import { type Array64, evaluate } from "../../src/graph/evaluate.js";
import { grad } from "../../src/graph/grad.js";
import { graphOf } from "../../src/graph/graph.js";
import * as op from "../../src/graph/ops.js";
import type { Value } from "../../src/graph/value.js";
import type { ClipTextConfig } from "../../src/models/clip/config.js";
import { clipTextEncoder, tokenEmbedding } from "../../src/models/clip/model.js";
import type { UNetConfig } from "../../src/models/unet/config.js";
import { unet } from "../../src/models/unet/model.js";
import type { VaeConfig } from "../../src/models/vae/config.js";
import { vaeDecoder, vaeEncoder } from "../../src/models/vae/model.js";
import { denseParams } from "../../src/nn/layers.js";
import type { RootParams } from "../../src/nn/params.js";
import { nodePlatform } from "../../src/platform/node/platform.js";
import { nodeEngine } from "../../src/runtime/node/engine.js";
import { readTensor } from "../../src/tensor/convert.js";
import type { StoredTensor, StoredTensors } from "../../src/tensor/stored.js";
import { type Tensor, tensor } from "../../src/tensor/tensor.js";
import { memorySource } from "../../src/util/bytes.js";
import { derivedNoise, derivedWeight } from "../golden-weights.js";

/*
 * Gradients of whole models by every parameter, against PyTorch's: through the float64 evaluator and
 * through the engine that trains.
 */

const platform = nodePlatform();
const golden = await readSafetensors(
  await platform.openFile("test/golden/gradients/models.safetensors"),
);
const LOSSES = JSON.parse(golden.metadata.losses!) as Record<string, number>;
const IDS = JSON.parse(golden.metadata.ids!) as number[][];

const CLIP: Omit<ClipTextConfig, "activation"> = {
  vocabSize: 20,
  hiddenSize: 8,
  intermediateSize: 12,
  layers: 2,
  heads: 2,
  maxPositions: 6,
  layerNormEps: 1e-5,
};
const UNET: Omit<UNetConfig, "heads" | "useLinearProjection"> = {
  sampleSize: 8,
  inChannels: 3,
  outChannels: 3,
  blocks: ["crossAttention", "resnet"],
  blockOutChannels: [8, 16],
  layersPerBlock: 1,
  transformerLayers: [1, 1],
  crossAttentionDim: 6,
  normNumGroups: 2,
  normEps: 1e-5,
  flipSinToCos: true,
  freqShift: 0,
};
const VAE: VaeConfig = {
  inChannels: 3,
  outChannels: 3,
  latentChannels: 2,
  blockOutChannels: [4, 8],
  layersPerBlock: 1,
  normNumGroups: 2,
  scalingFactor: 1,
  midBlockAttention: true,
  useQuantConv: true,
  usePostQuantConv: true,
};

/** The fixture's input of this name, as a constant of the graph. */
function noise(name: string, shape: readonly number[]): Value {
  return op.constant(shape, derivedNoise(name, shape).data);
}

/** mean(x^2), a single number. */
function meanSquare(x: Value): Value {
  const axes = x.shape.map((_, i) => i);
  const count = (x.shape as number[]).reduce((n, d) => n * d, 1);
  return op.reshape(op.mul(op.sum(op.mul(x, x), axes), 1 / count), []);
}

const distance = (name: string, y: Value): Value =>
  meanSquare(op.sub(y, noise(`${name}.target`, y.shape as number[])));

function clipLoss(name: string, p: RootParams, config: ClipTextConfig): Value {
  const ids = op.constant([IDS.length, IDS[0]!.length], IDS.flat(), "int");
  return distance(name, clipTextEncoder(p, config, tokenEmbedding(p, config, ids)));
}

function unetLoss(name: string, p: RootParams, config: UNetConfig): Value {
  const x = noise(`${name}.x`, [2, 3, 5, 6]);
  const t = op.constant([2], [37, 411]);
  const context = noise(`${name}.context`, [2, 4, 6]);
  return distance(name, unet(p, config, { x, t, context }));
}

function vaeLoss(name: string, p: RootParams): Value {
  const image = noise(`${name}.image`, [2, 3, 6, 8]);
  const moments = vaeEncoder(p, VAE, image);
  const decoded = vaeDecoder(p, VAE, op.slice(moments, 1, 0, 2));
  return op.add(meanSquare(op.sub(decoded, image)), meanSquare(op.slice(moments, 1, 2, 2)));
}

const MODELS: Readonly<Record<string, (p: RootParams) => Value>> = {
  "clip-quick": (p) => clipLoss("clip-quick", p, { ...CLIP, activation: "quick_gelu" }),
  "clip-gelu": (p) => clipLoss("clip-gelu", p, { ...CLIP, activation: "gelu" }),
  "unet-conv": (p) =>
    unetLoss("unet-conv", p, { ...UNET, heads: [2, 2], useLinearProjection: false }),
  "unet-linear": (p) =>
    unetLoss("unet-linear", p, { ...UNET, heads: [1, 4], useLinearProjection: true }),
  vae: (p) => vaeLoss("vae", p),
};

/** The loss of a model and its gradients by all parameters, by name. */
function training(
  name: string,
  recompute = false,
): { loss: Value; gradients: ReadonlyMap<string, Value> } {
  const p = denseParams();
  const loss = MODELS[name]!(p);
  const { params } = graphOf({ loss });
  expect([...params.keys()].sort()).toEqual([...p.declared.keys()].sort());
  const options = recompute ? { keep: residualSums(loss) } : {};
  const gradients = grad(loss, [...params.values()], options);
  return { loss, gradients: new Map([...params.keys()].map((key, i) => [key, gradients[i]!])) };
}

const norm = (xs: Iterable<number>): number => Math.sqrt([...xs].reduce((n, x) => n + x * x, 0));

/** The gradients that are further from PyTorch's than allowed, and by how much. */
async function wrongOnes(name: string, got: (key: string) => ArrayLike<number>): Promise<string[]> {
  const want = new Map<string, Tensor>();
  for (const [key, stored] of golden.tensors) {
    if (key.startsWith(`${name}/`)) want.set(key.slice(name.length + 1), await readTensor(stored));
  }
  const all = norm([...want.values()].map(({ data }) => norm(data)));
  return [...want]
    .map(([key, { data }]): [string, number] => {
      const mine = got(key);
      expect(mine.length).toBe(data.length);
      const difference = norm([...data].map((x, i) => x - mine[i]!));
      return [key, difference / (1e-4 * norm(data) + 1e-7 * all)];
    })
    .filter(([, ratio]) => !(ratio <= 1))
    .map(([key, ratio]) => `${key}: ${ratio.toFixed(2)} times the tolerance`);
}

function derived(model: string, gradients: ReadonlyMap<string, Value>): StoredTensors {
  const { params } = graphOf(Object.fromEntries(gradients));
  return new Map(
    [...params].map(([key, v]): [string, StoredTensor] => {
      const { shape, data } = derivedWeight(model, key, v.shape as number[]);
      const source = memorySource(key, new Uint8Array(data.buffer));
      return [key, { dtype: "f32", shape, source, offset: 0, length: data.byteLength }];
    }),
  );
}

describe("gradients of whole models are PyTorch's", () => {
  const engine = nodeEngine({ platform, device: "cpu", cacheLimit: 0 });
  afterAll(() => engine[Symbol.asyncDispose]());

  test.each(Object.keys(MODELS))("%s, by the engine", async (name) => {
    const { loss, gradients } = training(name);
    const named = [...gradients].map(([key, g]): [string, Value] => [`grad ${key}`, g]);
    const graph = graphOf({ loss, ...Object.fromEntries(named) });
    await using program = await engine.load(graph, derived(name, gradients), { label: name });
    const outputs = await program.run({});
    expect(outputs.loss!.data[0]! / LOSSES[name]!).toBeCloseTo(1, 5);
    expect(await wrongOnes(name, (key) => outputs[`grad ${key}`]!.data)).toEqual([]);
  });

  test.each([
    ...Object.keys(MODELS).map((name) => [name, "all kept", false] as const),
    ["vae", "activations recomputed", true],
  ] as const)("%s, as the engine trains, %s", async (name, _, recompute) => {
    const { loss, gradients } = training(name, recompute);
    const specs = [...gradients].map(([key, { shape }]) => ({
      ...derivedWeight(name, key, shape as number[]),
      name: key,
    }));
    const optimizer = { kind: "sgd", momentum: 0.9 } as const; // begins as the gradient itself
    await using store = await engine.training.store(specs, { label: name, optimizer });
    const options = { label: name, stores: [store], gradients };
    await using program = await engine.training.program({ loss }, options);
    const outputs = await program.run({});
    expect(outputs.loss!.data[0]! / LOSSES[name]!).toBeCloseTo(1, 5);
    await store.update({ step: 0, learningRate: 0 });
    const momentum = await store.read(store.parts[1]!);
    expect(await wrongOnes(name, (key) => momentum.get(key)!.data)).toEqual([]);
  });

  test.each(["clip-quick", "clip-gelu", "unet-conv"])("%s, in float64", async (name) => {
    const { loss, gradients } = training(name);
    const params = (key: string): Array64 => {
      const { shape } = gradients.get(key)!;
      const { data } = derivedWeight(name, key, shape as number[]);
      return { shape: shape as number[], data: Float64Array.from(data) };
    };
    const keys = [...gradients.keys()];
    const [first, ...rest] = evaluate([loss, ...gradients.values()], { inputs: {}, params });
    expect(first!.data[0]! / LOSSES[name]!).toBeCloseTo(1, 6);
    expect(await wrongOnes(name, (key) => rest[keys.indexOf(key)]!.data)).toEqual([]);
  });
});

describe("gradients in float32 stay sane far out", () => {
  const engine = nodeEngine({ platform, device: "cpu", cacheLimit: 0 });
  afterAll(() => engine[Symbol.asyncDispose]());
  const far = [-1e30, -1e4, -100, -20, -1, 0, 1, 20, 100, 1e4, 1e30];

  test.each([
    ["silu", silu],
    ["gelu", gelu],
    ["quickGelu", quickGelu],
    ["softmax", (x: Value) => op.reshape(op.slice(softmax(op.reshape(x, [1, 11])), 1, 9, 2), [2])],
  ])("%s", async (name, f) => {
    const x = op.input("x", [far.length]);
    const y = f(x);
    const [dx] = grad(op.reshape(op.sum(y, [0]), []), [x]);
    await using program = await engine.load(graphOf({ dx: dx! }), new Map(), { label: name });
    const got = (await program.run({ x: tensor([far.length], Float32Array.from(far)) })).dx!.data;
    const fed = { shape: [far.length], data: Float64Array.from(far) };
    const [want] = evaluate([dx!], { inputs: { x: fed }, params: () => expect.unreachable() });
    for (const [i, slope] of want!.data.entries()) expect(got[i]).toBeCloseTo(slope, 5);
  });

  // As training computes them: in a plain order of memory, and in blocks of channels after a convolution.
  test.each([
    ["silu", silu],
    ["quickGelu", quickGelu],
  ])("%s in training", async (name, f) => {
    const shape = [1, 32, 1, 4];
    const data = Float32Array.from({ length: 128 }, (_, i) => {
      const sign = i % 2 === 0 ? 1 : -1;
      return sign * (2 ** (i / 3.7) - 1);
    });
    const identity = Float32Array.from({ length: 1024 }, (_, i) => (i % 33 === 0 ? 1 : 0));
    const slopeOf = (x: Value): Value => grad(op.reshape(op.sum(f(x), [0, 1, 2, 3]), []), [x])[0]!;
    const x = op.input("x", shape);
    const convolved = op.conv2d(x, op.constant([32, 32, 1, 1], identity), undefined);
    const outputs = { plain: slopeOf(x), blocked: slopeOf(convolved) };
    const options = { label: name, stores: [] };
    await using program = await engine.training.program(outputs, options);
    const got = await program.run({ x: tensor(shape, data) });
    const inputs = { x: { shape, data: Float64Array.from(data) } };
    const [want] = evaluate([outputs.plain], { inputs, params: () => expect.unreachable() });
    expect(Math.max(...data)).toBeGreaterThan(1e10);
    for (const [i, slope] of want!.data.entries()) {
      expect(got.plain!.data[i]).toBeCloseTo(slope, 5);
      expect(got.blocked!.data[i]).toBeCloseTo(slope, 5);
    }
  });
});
