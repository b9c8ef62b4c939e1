import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { silu } from "../../src/graph/composites.js";
import { symbol } from "../../src/graph/dim.js";
import * as op from "../../src/graph/ops.js";
import type { Value } from "../../src/graph/value.js";
import { conv2d, linear, linearParts } from "../../src/nn/index.js";
import { rangesOf, weightLimit } from "../../src/pipelines/int8.js";
import { nodePlatform } from "../../src/platform/node/platform.js";
import { nodeEngine } from "../../src/runtime/node/engine.js";
import { type Tensor, tensor, zeros } from "../../src/tensor/tensor.js";
import {
  answers,
  type Convolution,
  convolved,
  errorBounds,
  exact,
  type Layer,
  layer,
  multiplied,
  roundedPixels,
  roundedTokens,
} from "./int8Layers.js";
import { pseudoRandom, relativeError } from "./run.js";

/*
 * Layers in 8 bits on the CPU: exactly the whole numbers that plain loops give, and as near to float64 as
 * half a unit of input, weight and result allow.
 */

const engine = nodeEngine({ platform: nodePlatform(), device: "cpu", threads: 1, cacheLimit: 0 });
afterAll(() => engine[Symbol.asyncDispose]());

/** 127 where this processor's sums do not saturate; 63 is right everywhere. */
let limits: readonly (127 | 63)[] = [63];
beforeAll(async () => {
  if ((await weightLimit(engine)) === 127) limits = [127, 63];
});

const [b, h, w] = [symbol("b"), symbol("h"), symbol("w")];

/** A convolution, and what goes in. */
interface ConvolutionCase {
  readonly shape: readonly [batch: number, channels: number, height: number, width: number];
  readonly outChannels: number;
  readonly stride: number;
  /** On all sides, or below and right alone as the VAE's encoder has it. */
  readonly sides: "all" | "two";
  readonly isSilu: boolean;
  /** How large biases are, as multiples of the largest result without them. */
  readonly biases: number;
  readonly seed: number;
}

const options = ({ stride, sides }: ConvolutionCase): Convolution => ({
  stride,
  padding: sides === "all" ? [1, 1, 1, 1] : [0, 0, 1, 1],
});

const output = (c: ConvolutionCase, x: Value) => (p: Parameters<typeof conv2d>[0]) =>
  conv2d(p.at("conv"), c.isSilu ? silu(x) : x, c.outChannels, 3, options(c));

/** Rows of a convolution's results [B,O,...] as they belong to channels. */
const byChannel = (length: number, batch: number, channels: number) => (i: number) =>
  Math.floor(i / (length / (batch * channels))) % channels;

/** The weights of a case, whose ranges are what results come to without a bias. */
async function convolution(
  c: ConvolutionCase,
  limit: 127 | 63,
  x: Tensor,
  room = 1.02,
): Promise<Layer & { readonly parts: Record<"weight" | "scale" | "bias" | "range", Tensor> }> {
  const { shape, outChannels, seed } = c;
  const traced = output(c, op.input("x", [b, shape[1], h, w]));
  const weight = pseudoRandom([outChannels, shape[1], 3, 3], seed + 1, [-1, 1]);
  const without = { "conv.weight": weight, "conv.bias": zeros([outChannels]) };
  const ones = new Map([["conv", new Float32Array(outChannels).fill(1)]]);
  const results = exact(await layer(traced, without, { limit, ranges: ones }), { x });
  const channelOf = byChannel(results.length, shape[0], outChannels);
  const range = new Float32Array(outChannels);
  for (const [i, r] of results.entries())
    range[channelOf(i)] = Math.max(range[channelOf(i)]!, room * Math.abs(r));
  const bias = pseudoRandom([outChannels], seed + 2, [-1, 1]).data.map(
    (v, o) => v * c.biases * (o % 3) * range[o]!, // every third channel has none
  );
  const whole = { "conv.weight": weight, "conv.bias": tensor([outChannels], bias) };
  const made = await layer(traced, whole, { limit, ranges: new Map([["conv", range]]) });
  const part = (name: string): Tensor => made.params[`conv.${name}`]!;
  const parts = {
    weight: part("weight_int8"),
    scale: part("weight_scale"),
    bias: part("bias"),
    range: part("output_range"),
  };
  return { ...made, parts };
}

const cases: fc.Arbitrary<ConvolutionCase> = fc.record({
  shape: fc.tuple(
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 1, max: 20 }),
    fc.integer({ min: 2, max: 9 }),
    fc.integer({ min: 2, max: 9 }),
  ),
  outChannels: fc.integer({ min: 1, max: 20 }),
  stride: fc.constantFrom(1, 2),
  sides: fc.constantFrom("all", "two"),
  isSilu: fc.boolean(),
  biases: fc.constantFrom(0, 0.001, 0.01, 0.2, 1, 5),
  seed: fc.integer({ min: 0, max: 1e6 }),
});

/** What SiLU makes of x on the engine itself, so that what comes after it can be told to the last bit. */
async function siluOf(x: Tensor): Promise<Float32Array> {
  const made = await layer(() => silu(op.input("x", [b, x.shape[1]!, h, w])), {});
  return (await answers(engine, made, { x }))[0]!.data;
}

describe("a convolution", () => {
  test("gives the whole numbers that plain loops give", async () => {
    await fc.assert(
      fc.asyncProperty(cases, fc.constantFrom(0.05, 1, 30), async (c, size) => {
        const x = pseudoRandom(c.shape, c.seed, [-size, 0.7 * size]);
        for (const limit of limits) {
          const made = await convolution(c, limit, x);
          const [got] = await answers(engine, made, { x });
          const seen = c.isSilu ? await siluOf(x) : x.data;
          const rounded = roundedPixels(seen, c.isSilu ? 16 : 128);
          const want = convolved(rounded, c.shape, made.parts, options(c));
          expect([...got!.data]).toEqual(want.map((v) => v + 0));

          const ideal = exact(made, { x });
          const bounds = errorBounds(rounded, made.parts);
          const channelOf = byChannel(ideal.length, c.shape[0], c.outChannels);
          for (const [i, r] of got!.data.entries())
            expect(Math.abs(r - ideal[i]!)).toBeLessThanOrEqual(bounds[channelOf(i)]!);
        }
      }),
      { numRuns: 40 },
    );
  });

  const plain: ConvolutionCase = {
    shape: [2, 16, 8, 8],
    outChannels: 24,
    stride: 1,
    sides: "all",
    isSilu: false,
    biases: 0.3,
    seed: 3,
  };

  test("is near float64 where it sums up many channels", async () => {
    const c: ConvolutionCase = { ...plain, shape: [1, 64, 8, 8] };
    const x = pseudoRandom(c.shape, 1);
    for (const limit of limits) {
      const made = await convolution(c, limit, x);
      const [got] = await answers(engine, made, { x });
      expect(relativeError(got!.data, exact(made, { x }))).toBeLessThan(0.012);
    }
  });

  test("serves every size and batch by one program, each by its own extremes", async () => {
    const made = await convolution(plain, 63, pseudoRandom(plain.shape, 1), 4);
    const shapes = [plain.shape, [1, 16, 3, 5], [3, 16, 1, 2]] as const;
    const inputs = shapes.map((shape, i) => ({ x: pseudoRandom(shape, i, [-1 / (i + 1), 2]) }));
    const got = await answers(engine, made, ...inputs);
    for (const [i, shape] of shapes.entries()) {
      const rounded = roundedPixels(inputs[i]!.x.data, 128);
      const want = convolved(rounded, shape, made.parts, options(plain));
      expect(got[i]!.shape).toEqual([shape[0], 24, ...shape.slice(2)]);
      expect([...got[i]!.data]).toEqual(want.map((v) => v + 0));
    }
  });

  test("cuts what is beyond its range, and nothing else", async () => {
    const x = pseudoRandom(plain.shape, 1);
    const made = await convolution({ ...plain, biases: 0 }, 63, x, 0.25);
    const [got] = await answers(engine, made, { x });
    const ideal = exact(made, { x });
    const channelOf = byChannel(ideal.length, 2, 24);
    let cut = 0;
    for (const [i, r] of got!.data.entries()) {
      const range = made.parts.range.data[channelOf(i)]!;
      const unit = range / 127;
      if (Math.abs(ideal[i]!) > 1.2 * range) {
        cut++;
        expect(Math.abs(r)).toBeCloseTo(ideal[i]! > 0 ? range : range + unit, 4);
      } else expect(Math.abs(r)).toBeLessThanOrEqual(range + 1.01 * unit);
    }
    expect(cut).toBeGreaterThan(100);
  });

  test("of nothing but zeros is its bias", async () => {
    for (const biases of [0, 0.001, 0.3, 4]) {
      const made = await convolution({ ...plain, biases }, 63, pseudoRandom(plain.shape, 1));
      const [got] = await answers(engine, made, { x: zeros(plain.shape) });
      const channelOf = byChannel(got!.data.length, 2, 24);
      for (const [i, r] of got!.data.entries()) {
        const [bias, range] = [made.parts.bias, made.parts.range].map((t) => t.data[channelOf(i)]!);
        const unit = Math.max(range!, Math.abs(bias!)) / 127;
        const slack = Math.abs(bias!) < unit ? 0.5 * unit : 1e-6 * Math.abs(bias!);
        expect(Math.abs(r - bias!)).toBeLessThanOrEqual(slack);
      }
    }
  });

  test("whose channels are dead gives their bias", async () => {
    const weight = pseudoRandom([4, 8, 3, 3], 1);
    weight.data.fill(0, 0, 2 * 72); // the first two channels
    const weights = {
      "conv.weight": weight,
      "conv.bias": tensor([4], Float32Array.of(0, 0.75, 0, 0)),
    };
    const traced = (p: Parameters<typeof conv2d>[0]) =>
      conv2d(p.at("conv"), op.input("x", [1, 8, 4, 4]), 4, 3);
    const ranges = rangesOf(new Map([["conv", Float32Array.of(0, 0, 0, 50)]]), 1.1);
    const made = await layer(traced, weights, { ranges, limit: 63 });
    const [got] = await answers(engine, made, { x: pseudoRandom([1, 8, 4, 4], 2) });
    expect(got!.data.every(Number.isFinite)).toBe(true);
    expect([...got!.data.subarray(0, 16)]).toEqual(Array(16).fill(0));
    for (const r of got!.data.subarray(16, 32)) expect(r).toBeCloseTo(0.75, 6);
    // The third channel was never seen to give anything.
    expect(Math.max(...got!.data.subarray(32, 48).map(Math.abs))).toBeLessThan(1e-3);
  });
});

describe("a linear layer", () => {
  const tokenCases = fc.record({
    rows: fc.integer({ min: 1, max: 9 }),
    inFeatures: fc.integer({ min: 1, max: 80 }),
    outFeatures: fc.integer({ min: 1, max: 40 }),
    bias: fc.boolean(),
    size: fc.constantFrom(1e-4, 1, 50),
    seed: fc.integer({ min: 0, max: 1e6 }),
  });

  test("is its products of whole numbers, whatever the shape", async () => {
    await fc.assert(
      fc.asyncProperty(tokenCases, async ({ rows, inFeatures, outFeatures, bias, size, seed }) => {
        const x = pseudoRandom([1, rows, inFeatures], seed, [-size, 0.4 * size]);
        const traced = (p: Parameters<typeof linear>[0]) =>
          linear(p.at("to"), op.input("x", [b, h, inFeatures]), outFeatures, { bias });
        const weights = {
          "to.weight": pseudoRandom([outFeatures, inFeatures], seed + 1),
          "to.bias": pseudoRandom([outFeatures], seed + 2, [-size, size]),
        };
        for (const limit of limits) {
          const made = await layer(traced, weights, { limit });
          const part = (name: string) => made.params[`to.${name}`];
          const operands = {
            weight: part("weight_int8")!,
            scale: part("weight_scale")!,
            bias: part("bias"),
          };
          const [got] = await answers(engine, made, { x });
          expect(got!.shape).toEqual([1, rows, outFeatures]);
          const want = multiplied(roundedTokens(x.data), operands);
          const largest = Math.max(...want.map(Math.abs), size);
          for (const [i, v] of want.entries())
            expect(Math.abs(got!.data[i]! - v)).toBeLessThanOrEqual(1e-5 * largest);
          const { unit } = roundedTokens(x.data);
          const ideal = exact(made, { x });
          for (const [i, v] of got!.data.entries()) {
            const o = i % outFeatures;
            let sum = 0;
            for (let k = o; k < operands.weight.data.length; k += outFeatures)
              sum += Math.abs(operands.weight.data[k]!);
            // Half a unit of each input, and another where its zero was rounded.
            const bound = unit * sum * operands.scale.data[o]!;
            expect(Math.abs(v - ideal[i]!)).toBeLessThanOrEqual(bound + 1e-5 * largest);
          }
        }
      }),
      { numRuns: 40 },
    );
  });

  test("is the same in parts", async () => {
    const weights = { "to.weight": pseudoRandom([6, 10], 1), "to.bias": pseudoRandom([6], 2) };
    const x = op.input("x", [b, h, 10]);
    const inputs = { x: pseudoRandom([2, 5, 10], 3) };
    const whole = await layer((p) => linear(p.at("to"), x, 6), weights, { limit: 63 });
    const parts = await layer((p) => op.concat(linearParts(p.at("to"), x, 6, 3), -1), weights, {
      limit: 63,
    });
    expect(Object.keys(parts.params)).toContain("to.weight_int8_2of3");
    expect(await answers(engine, parts, inputs)).toEqual(await answers(engine, whole, inputs));
  });

  test("over any number of axes, by one program for all sizes", async () => {
    const weights = { "to.weight": pseudoRandom([6, 10], 1), "to.bias": pseudoRandom([6], 2) };
    const made = await layer((p) => linear(p.at("to"), op.input("x", [b, h, w, 10]), 6), weights, {
      limit: 63,
    });
    const inputs = [
      { x: pseudoRandom([2, 3, 4, 10], 3) },
      { x: pseudoRandom([1, 1, 1, 10], 4) },
      { x: zeros([1, 2, 2, 10]) },
    ];
    const got = await answers(engine, made, ...inputs);
    expect(got.map(({ shape }) => shape)).toEqual([
      [2, 3, 4, 6],
      [1, 1, 1, 6],
      [1, 2, 2, 6],
    ]);
    expect(relativeError(got[0]!.data, exact(made, inputs[0]!))).toBeLessThan(0.01);
    const bias = [...weights["to.bias"].data];
    expect([...got[2]!.data]).toEqual([...bias, ...bias, ...bias, ...bias]);
  });

  test("of dead features gives their bias", async () => {
    const weight = pseudoRandom([3, 8], 1);
    weight.data.fill(0, 0, 16);
    const weights = { "to.weight": weight, "to.bias": tensor([3], Float32Array.of(0, 2, 1)) };
    const made = await layer((p) => linear(p.at("to"), op.input("x", [b, 8]), 3), weights);
    const [got] = await answers(engine, made, { x: pseudoRandom([5, 8], 2) });
    for (let row = 0; row < 5; row++)
      expect([...got!.data.subarray(3 * row, 3 * row + 2)]).toEqual([0, 2]);
    expect(got!.data.every(Number.isFinite)).toBe(true);
  });

  test("is what a convolution of single pixels is", async () => {
    const weights = {
      "conv.weight": pseudoRandom([12, 16, 1, 1], 1),
      "conv.bias": pseudoRandom([12], 2),
    };
    const x = pseudoRandom([2, 16, 3, 5], 3);
    for (const limit of limits) {
      const made = await layer(
        (p) => conv2d(p.at("conv"), op.input("x", [b, 16, h, w]), 12, 1),
        weights,
        { limit },
      );
      expect(made.params["conv.weight_int8"]!.shape).toEqual([16, 12]);
      const [got] = await answers(engine, made, { x });
      expect(got!.shape).toEqual([2, 12, 3, 5]);
      expect(relativeError(got!.data, exact(made, { x }))).toBeLessThan(0.01);
    }
  });
});

test("weights of 63 halves stay exact where sums of two products saturate", async () => {
  // 255 * 63 * 2 = 32,130 still fits 16 bits; 255 * 127 * 2 does not.
  const width = 64;
  const weights = { "to.weight": tensor([1, width], new Float32Array(width).fill(1)) };
  const traced = (p: Parameters<typeof linear>[0]) =>
    linear(p.at("to"), op.input("x", [1, width]), 1, { bias: false });
  const made = await layer(traced, weights, { limit: 63 });
  const [got] = await answers(engine, made, {
    x: tensor([1, width], new Float32Array(width).fill(1)),
  });
  expect(got!.data[0]).toBeCloseTo(width, 4);
  expect(await weightLimit(engine)).toBe(limits[0]);
});
