import { afterAll, describe, expect, test } from "vitest";
import * as composite from "../../graph/composites.js";
import { type Array64, evaluate } from "../../graph/evaluate.js";
import { grad } from "../../graph/grad.js";
import { graphOf } from "../../graph/graph.js";
import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import { toPixels, toTokens } from "../../nn/attention.js";
import { nodePlatform } from "../../platform/node/platform.js";
import type { Engine } from "../../runtime/engine.js";
import { nodeEngine } from "../../runtime/node/engine.js";
import { blockedLayout } from "../../tensor/blocks.js";
import { torchCpuNoise } from "../../tensor/random.js";
import { sizeOf, type Tensor } from "../../tensor/tensor.js";
import { memorySource } from "../../util/bytes.js";

/*
 * What training programs answer on the CPU, against the float64 evaluator: values, and gradients on
 * their way through a store, whose convolutions lie in blocks.
 */

const platform = nodePlatform();
const cpu = nodeEngine({ platform, device: "cpu", threads: 2, cacheLimit: 0 });
/** The same operators in WebAssembly, where none is blocked. */
const wasm = nodeEngine({ platform, device: "wasm", cacheLimit: 0 });
afterAll(async () => {
  await cpu[Symbol.asyncDispose]();
  await wasm[Symbol.asyncDispose]();
});

const wide = ({ shape, data }: Tensor): Array64 => ({ shape, data: Float64Array.from(data) });

function relativeError(got: ArrayLike<number>, want: Float64Array): number {
  let [difference, norm] = [0, 0];
  want.forEach((y, i) => {
    difference += (got[i]! - y) ** 2;
    norm += y * y;
  });
  expect(got.length).toBe(want.length);
  expect(norm).toBeGreaterThan(0);
  return Math.sqrt(difference / norm);
}

/** Relative errors of outputs, and of the gradients that reach a store, by name. */
async function errorsOf(
  { training }: Engine,
  outputs: Readonly<Record<string, Value>>,
  gradients: ReadonlyMap<string, Value>,
): Promise<Record<string, number>> {
  const noise = torchCpuNoise(7);
  const graph = graphOf({ ...outputs, ...Object.fromEntries(gradients) });
  const draw = (v: Value): Tensor => noise.randn(v.shape as number[]);
  const inputs = Object.fromEntries([...graph.inputs].map(([name, v]) => [name, draw(v)]));
  const params = new Map([...graph.params].map(([name, v]) => [name, draw(v)]));
  const values = [...Object.values(outputs), ...gradients.values()];
  const want = evaluate(values, {
    inputs: Object.fromEntries(Object.entries(inputs).map(([name, t]) => [name, wide(t)])),
    params: (name) => wide(params.get(name)!),
  });

  const specs = [...params].map(([name, { shape, data }]) => ({ name, shape, data }));
  await using store = await training.store(specs, {
    label: "test",
    optimizer: { kind: "sgd" },
  });
  await using program = await training.program(outputs, {
    label: "test",
    stores: [store],
    gradients,
  });
  const got: ArrayLike<number>[] = [];
  const answered = await program.run(inputs);
  for (const name of Object.keys(outputs)) got.push(answered[name]!.data);
  if (gradients.size > 0) {
    // A step of rate -1 adds each gradient to zeros.
    const zeros = [...params].map(([name, t]): [string, Tensor] => [
      name,
      { ...t, data: new Float32Array(t.data.length) },
    ]);
    await store.write("params", new Map(zeros));
    await store.update({ step: 0, learningRate: -1 });
    const after = await store.read("params");
    for (const name of gradients.keys()) got.push(after.get(name)!.data);
  }
  const names = [...Object.keys(outputs), ...[...gradients.keys()].map((n) => `d ${n}`)];
  return Object.fromEntries(names.map((name, i) => [name, relativeError(got[i]!, want[i]!.data)]));
}

/** Fails with everything that is further off than float32 explains. */
async function expectExact(
  engine: Engine,
  outputs: Readonly<Record<string, Value>>,
  gradients: ReadonlyMap<string, Value>,
): Promise<void> {
  const errors = await errorsOf(engine, outputs, gradients);
  expect(Object.entries(errors).filter(([, error]) => !(error < 1e-5))).toEqual([]);
}

/** All gradients of sum(y * target), for targets that are fed. */
function gradientsOf(y: Value): ReadonlyMap<string, Value> {
  const loss = op.sum(
    op.mul(y, op.input("target", y.shape)),
    y.shape.map((_, i) => i),
  );
  const { params } = graphOf({ loss });
  const gradients = grad(loss, [...params.values()]);
  return new Map([...params.keys()].map((name, i) => [name, gradients[i]!]));
}

interface ConvCase {
  readonly x: readonly [number, number, number, number];
  readonly out: number;
  readonly kernel: number;
  readonly stride?: number;
  readonly padding?: number | readonly [number, number, number, number];
}

const CONVOLUTIONS: readonly ConvCase[] = [
  { x: [2, 32, 8, 8], out: 16, kernel: 3, padding: 1 },
  { x: [4, 16, 4, 4], out: 48, kernel: 3, padding: 1 },
  { x: [3, 16, 5, 7], out: 32, kernel: 3, padding: 1 }, // sides that no block divides
  { x: [1, 32, 4, 16], out: 16, kernel: 3, padding: 0 },
  { x: [2, 16, 6, 5], out: 32, kernel: 1 },
  { x: [2, 32, 8, 8], out: 16, kernel: 3, stride: 2, padding: 1 },
  { x: [2, 16, 8, 6], out: 32, kernel: 3, stride: 2, padding: [0, 0, 1, 1] },
  { x: [2, 16, 7, 9], out: 16, kernel: 3, stride: 2, padding: 1 }, // a stride that leaves pixels out
  { x: [2, 16, 8, 8], out: 32, kernel: 4, stride: 2, padding: 1 }, // as PatchGAN has it
  { x: [2, 32, 6, 6], out: 16, kernel: 4, padding: 1 },
  { x: [2, 3, 9, 8], out: 32, kernel: 3, padding: 1 }, // from pixels
  { x: [2, 3, 8, 8], out: 16, kernel: 4, stride: 2, padding: 1 },
  { x: [2, 32, 7, 8], out: 3, kernel: 3, padding: 1 }, // to pixels
  { x: [2, 16, 6, 6], out: 1, kernel: 4, padding: 1 },
  { x: [2, 32, 4, 4], out: 8, kernel: 1 },
  { x: [2, 8, 5, 5], out: 4, kernel: 1 },
  { x: [2, 24, 6, 6], out: 16, kernel: 3, padding: 1 },
  { x: [2, 16, 6, 6], out: 24, kernel: 3, padding: 1 },
  { x: [2, 20, 5, 6], out: 12, kernel: 3, stride: 2, padding: 1 },
  { x: [2, 16, 3, 3], out: 16, kernel: 3, padding: 0 }, // to one pixel
  { x: [4, 16, 4, 8], out: 80, kernel: 3, padding: 1 }, // columns in two groups, not four
  { x: [1, 192, 2, 4], out: 192, kernel: 3, padding: 1 }, // in one
];

async function checkConvolution(
  engine: Engine,
  { x, out, kernel, stride = 1, padding = 0 }: ConvCase,
): Promise<void> {
  const weight = op.param("weight", [out, x[1], kernel, kernel]);
  const options = { stride, padding };
  const y = op.conv2d(op.param("x", x), weight, op.param("bias", [out]), options);
  const gradients = gradientsOf(y);
  const [dw, dx] = [gradients.get("weight")!, gradients.get("x")!];
  await expectExact(engine, { y, dw, dx }, gradients);
}

const nameOf = ({ x, out, kernel, stride = 1, padding = 0 }: ConvCase): string =>
  `[${x}] -> ${out}, kernel ${kernel}, stride ${stride}, padding ${padding}`;

describe("a convolution and both its gradients", () => {
  for (const each of CONVOLUTIONS) test(nameOf(each), () => checkConvolution(cpu, each));
});

/** A picture of 32 channels in whatever order a convolution leaves it, and its own gradient. */
function picture(shape: readonly [number, number, number, number], name = "x"): Value {
  const [b, c, h, w] = shape;
  const x = op.param(name, [b, 16, h, w]);
  return op.conv2d(x, op.param(`${name}.weight`, [c, 16, 1, 1]), undefined);
}

const shape = [2, 32, 6, 4] as const;
const norm = (x: Value, groups: number, name = "norm"): Value =>
  composite.groupNorm(
    x,
    op.param(`${name}.weight`, [x.shape[1] as number]),
    op.param(`${name}.bias`, [x.shape[1] as number]),
    { groups, eps: 1e-5 },
  );
const tokensOf = (x: Value): Value => {
  const tokens = toTokens(x);
  const weight = op.param("ln.weight", [32]);
  return composite.layerNorm(tokens, weight, op.param("ln.bias", [32]), 1e-5);
};

const PIECES: Readonly<Record<string, () => Value>> = {
  "group norm and silu": () => composite.silu(norm(picture(shape), 4)),
  "group norm of groups across blocks": () => norm(picture([2, 96, 4, 4]), 4),
  "group norm with a mean far from zero": () => norm(op.add(picture(shape), 30), 8),
  "group norm of channels without blocks": () => norm(op.param("x", [2, 12, 3, 5]), 3),
  "gelu and quick gelu": () => composite.quickGelu(composite.gelu(picture(shape))),
  "a number for each channel of each picture": () =>
    op.mul(op.add(picture(shape), op.param("shift", [2, 32, 1, 1])), op.param("s", [32, 1, 1])),
  "a number for each picture, and one for all": () =>
    op.sub(1, op.mul(picture(shape), op.param("scale", [2, 1, 1, 1]))),
  "numbers for each pixel": () => op.mul(picture(shape), op.param("mask", [2, 1, 6, 4])),
  "another order on the other side": () => op.mul(picture(shape), op.param("plain", shape)),
  "joined and cut": () => {
    const joined = op.concat([picture(shape), picture([2, 16, 6, 4], "z")], 1);
    return op.add(op.slice(joined, 1, 0, 32), op.slice(joined, 1, 16, 32));
  },
  "cut inside a block": () => op.slice(picture(shape), 1, 3, 20),
  "grown and shrunk": () => op.sumPool(op.resizeNearest(picture(shape), 18, 12), 2),
  "sums over pixels, and over pictures too": () => {
    const x = op.sigmoid(picture(shape));
    return op.add(op.sum(x, [2, 3]), op.sum(x, [0, 2, 3]));
  },
  "reshaped and sliced as what it is": () =>
    op.slice(op.reshape(picture(shape), [2, 8, 4, 24]), 3, 5, 9),
  "pixels as tokens and back": () => {
    const x = picture(shape);
    return op.add(toPixels(composite.gelu(tokensOf(x)), x), x);
  },
  attention: () => {
    const tokens = tokensOf(picture(shape));
    const context = op.param("context", [2, 5, 32]);
    const cross = { heads: 4, scale: 0.3, causal: false };
    const self = composite.attention(tokens, tokens, tokens, { ...cross, causal: true });
    return composite.attention(self, context, context, cross);
  },
  "a linear layer": () =>
    composite.linear(tokensOf(picture(shape)), op.param("w", [48, 32]), op.param("b", [48])),
  "a gated layer": () => {
    const both = composite.linear(
      tokensOf(picture(shape)),
      op.param("w", [96, 32]),
      op.param("b", [96]),
    );
    return op.mul(op.slice(both, 2, 0, 48), composite.gelu(op.slice(both, 2, 48, 48)));
  },
  "a layer that is used whole and in part": () => {
    const whole = composite.linear(tokensOf(picture(shape)), op.param("w", [48, 32]));
    return op.add(op.slice(whole, 2, 4, 20), op.sum(whole, [2]));
  },
  "tokens joined by channels": () => {
    const tokens = tokensOf(picture(shape));
    const joined = op.concat([tokens, op.param("more", [2, 24, 3])], 2);
    const flat = op.matmul(op.reshape(joined, [48, 35]), op.param("m", [35, 7]));
    return op.add(flat, op.sum(op.reshape(joined, [2, 24 * 35]), [0, 1]));
  },
  "one weight in two places": () => {
    const weight = op.param("weight", [32, 32, 3, 3]);
    const once = op.conv2d(picture(shape), weight, undefined, { padding: 1 });
    return op.conv2d(once, op.mul(weight, 0.5), undefined, { padding: 1 });
  },
  "a weight that is read as it stands": () => {
    const weight = op.param("weight", [32, 32, 3, 3]);
    const y = op.conv2d(picture(shape), weight, undefined, { padding: 1 });
    return op.add(y, op.sum(op.slice(weight, 1, 0, 7), [0, 1, 2, 3]));
  },
};

async function checkPiece(engine: Engine, piece: () => Value): Promise<void> {
  const y = piece();
  await expectExact(engine, { y }, gradientsOf(y));
}

describe("with all gradients", () => {
  for (const [name, piece] of Object.entries(PIECES)) test(name, () => checkPiece(cpu, piece));
});

describe("without blocked convolutions", () => {
  for (const at of [0, 2, 5, 6, 7, 10, 12]) {
    test(nameOf(CONVOLUTIONS[at]!), () => checkConvolution(wasm, CONVOLUTIONS[at]!));
  }
  const names = ["group norm and silu", "grown and shrunk", "attention", "a gated layer"];
  for (const name of names) test(name, () => checkPiece(wasm, PIECES[name]!));
});

test("weights in files are read row-major", async () => {
  const weight = op.param("weight", [16, 32, 3, 3]);
  const noise = torchCpuNoise(3);
  const data = noise.randn([16, 32, 3, 3]);
  const x = noise.randn([2, 32, 5, 5]);
  const y = op.conv2d(op.input("x", x.shape), weight, undefined, { padding: 1 });
  const dx = op.conv2dInputGrad(y, weight, x.shape, { padding: 1 });
  const source = memorySource("weights", new Uint8Array(data.data.buffer));
  const stored = { dtype: "f32", shape: data.shape, source, offset: 0 } as const;
  const frozen = new Map([["weight", { ...stored, length: data.data.byteLength }]]);
  await using program = await cpu.training.program({ dx }, { label: "test", stores: [], frozen });
  const got = await program.run({ x });
  const [want] = evaluate([dx], { inputs: { x: wide(x) }, params: () => wide(data) });
  expect(relativeError(got.dx!.data, want!.data)).toBeLessThan(1e-5);
});

describe("the layout of weights", () => {
  test("is undone, and moves whole blocks", () => {
    const shape = [32, 16, 3, 3];
    const plain = Float32Array.from({ length: sizeOf(shape) }, (_, i) => i);
    const layout = blockedLayout(shape, 16)!;
    const packed = layout.pack(plain);
    expect(layout.unpack(packed)).toEqual(plain);
    expect(sizeOf(layout.feedShape)).toBe(plain.length);
    // First the 16 outputs of input 0 at tap 0, then those of input 1.
    expect([...packed.subarray(0, 17)]).toEqual([
      ...Array.from({ length: 16 }, (_, o) => o * 16 * 9),
      9,
    ]);
    expect(packed[256]).toBe(1); // tap 1
  });

  test("is row-major where channels have no whole blocks", () => {
    for (const shape of [[16, 24, 3, 3], [4, 16, 1, 1], [32, 32], [16]]) {
      expect(blockedLayout(shape, 16)).toBeUndefined();
    }
  });
});
