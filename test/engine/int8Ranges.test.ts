import { afterAll, describe, expect, test } from "vitest";
import type { ModelFiles } from "../../src/checkpoints/index.js";
import { silu } from "../../src/graph/composites.js";
import { symbol } from "../../src/graph/dim.js";
import { evaluate } from "../../src/graph/evaluate.js";
import { type Graph, graphOf, manifest } from "../../src/graph/graph.js";
import * as op from "../../src/graph/ops.js";
import { conv2d, denseParams, type Params } from "../../src/nn/index.js";
import { int8Program, LEAST_RANGE, type Peaks, rangesOf } from "../../src/pipelines/int8.js";
import { honest, observed, overRanges } from "../../src/pipelines/int8Runs.js";
import { nodePlatform } from "../../src/platform/node/platform.js";
import type { Program } from "../../src/runtime/engine.js";
import { nodeEngine } from "../../src/runtime/node/engine.js";
import { storedInMemory } from "../../src/tensor/stored.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { pseudoRandom, relativeError } from "./run.js";

/*
 * How large the results of convolutions become, found out in 8 bits: by plain numbers of the same network.
 */

const engine = nodeEngine({ platform: nodePlatform(), device: "cpu", threads: 1, cacheLimit: 0 });
afterAll(() => engine[Symbol.asyncDispose]());

const CONVOLUTIONS = ["first", "second", "last"] as const;

/** Convolutions of which the first gives far more, and the last far less, than weights suggest. */
function network(p: Params): Graph {
  const x = op.input("x", [symbol("b"), 8, symbol("h"), symbol("w")]);
  const first = conv2d(p.at("first"), x, 16, 3);
  const second = conv2d(p.at("second"), silu(first), 12, 3, { stride: 2 });
  const tiny = conv2d(p.at("tiny"), second, 8, 1);
  const last = conv2d(p.at("last"), tiny, 4, 3);
  return graphOf({ first, second, last });
}

type Weights = Readonly<Record<string, Tensor>>;

const DEAD = 3;

function weightsOf(change: (weights: Weights) => void = () => {}): Weights {
  const names = [...manifest(network(denseParams()))];
  const weights = Object.fromEntries(
    names.map(([name, shape], i) => [name, pseudoRandom(shape, i + 1, [-1, 1])]),
  );
  for (const [i] of weights["tiny.weight"]!.data.entries())
    weights["tiny.weight"]!.data[i]! *= 1e-5;
  weights["tiny.bias"]!.data.fill(0);
  weights["last.bias"]!.data.fill(0);
  weights["first.weight"]!.data.fill(0, 72 * DEAD, 72 * (DEAD + 1));
  weights["first.bias"]!.data[DEAD] = 0;
  change(weights);
  return weights;
}

const filesOf = (weights: Weights): ModelFiles =>
  ({ unet: { weights: storedInMemory(new Map(Object.entries(weights))) } }) as ModelFiles;

const INPUTS = [
  { x: pseudoRandom([2, 8, 6, 8], 90, [-40, 60]) },
  { x: pseudoRandom([1, 8, 12, 4], 91, [-100, 30]) },
];

/** Largest results before biases, by channel, of the network in float64. */
function largest(weights: Weights, name: (typeof CONVOLUTIONS)[number]): number[] {
  const { outputs } = network(denseParams());
  const bias = weights[`${name}.bias`]!.data;
  const peaks = Array<number>(bias.length).fill(0);
  for (const { x } of INPUTS) {
    const to64 = ({ shape, data }: Tensor) => ({ shape, data: Float64Array.from(data) });
    const environment = { inputs: { x: to64(x) }, params: (key: string) => to64(weights[key]!) };
    const { shape, data } = evaluate([outputs[name]!], environment)[0]!;
    const area = shape[2]! * shape[3]!;
    for (const [i, v] of data.entries()) {
      const o = Math.floor(i / area) % bias.length;
      peaks[o] = Math.max(peaks[o]!, Math.abs(v - bias[o]!));
    }
  }
  return peaks;
}

/** A program that is watched, and how often it ran. */
async function watched(weights: Weights, peaks: Peaks) {
  const part = int8Program(filesOf(weights), "unet", 63, network, () => false);
  const program = await engine.load(part.graph, part.weights, { label: "a watched network" });
  let runs = 0;
  const counted: Program = {
    ...program,
    run(inputs) {
      runs++;
      return program.run(inputs);
    },
  };
  return { ...observed(counted, part, peaks), runs: () => runs };
}

describe("ranges", () => {
  const weights = weightsOf();

  test("are found however far they are from what weights suggest", async () => {
    const peaks: Peaks = new Map();
    await using program = await watched(weights, peaks);
    for (const inputs of INPUTS) await program.run(inputs);
    expect([...peaks.keys()].sort()).toEqual([...CONVOLUTIONS].sort());
    for (const name of CONVOLUTIONS)
      for (const [o, peak] of largest(weights, name).entries()) {
        if (name === "first" && o === DEAD) expect(peaks.get(name)![o]).toBeLessThan(1e-20);
        else expect(Math.abs(peaks.get(name)![o]! / peak - 1), `${name} ${o}`).toBeLessThan(0.08);
      }
    expect(program.runs()).toBeLessThan(30);

    const before = program.runs();
    const known = new Map([...peaks].map(([name, data]) => [name, data.slice()]));
    await program.run({ x: pseudoRandom([1, 8, 6, 8], 92, [-1, 1]) });
    expect(program.runs()).toBe(before + 1); // it fits at once
    expect(new Map(peaks)).toEqual(known); // and teaches nothing
  });

  test("are found on a piece where there is much to run on", async () => {
    const peaks: Peaks = new Map();
    const part = int8Program(filesOf(weights), "unet", 63, network, () => false);
    const program = await engine.load(part.graph, part.weights, { label: "a large network" });
    const areas: number[] = [];
    const counted: Program = {
      ...program,
      run(inputs) {
        const [, , height, width] = inputs.x!.shape;
        areas.push(height! * width!);
        return program.run(inputs);
      },
    };
    await using watching = observed(counted, part, peaks);
    const x = pseudoRandom([1, 8, 48, 40], 93, [-40, 60]);
    const got = await watching.run({ x });
    expect(got.last!.shape).toEqual([1, 4, 24, 20]);
    const whole = areas.filter((area) => area === 48 * 40).length;
    expect(whole).toBeLessThan(4);
    expect(areas.filter((area) => area === 16 * 16)).toHaveLength(areas.length - whole);
    expect(areas.length - whole).toBeGreaterThan(whole);
    const { outputs } = network(denseParams());
    const to64 = ({ shape, data }: Tensor) => ({ shape, data: Float64Array.from(data) });
    const exact = evaluate([outputs.second!], {
      inputs: { x: to64(x) },
      params: (key) => to64(weights[key]!),
    })[0]!;
    expect(relativeError(got.second!.data, exact.data)).toBeLessThan(0.05);
  });

  test("serve the network in 8 bits", async () => {
    const peaks: Peaks = new Map();
    await using watching = await watched(weights, peaks);
    for (const inputs of INPUTS) await watching.run(inputs);
    const part = int8Program(filesOf(weights), "unet", 63, network, () => false);
    const loaded = await engine.load(part.graph, part.weights, { label: "a network in 8 bits" });
    await using program = overRanges(loaded, part, rangesOf(peaks, 1.1));
    await using plain = await engine.load(network(denseParams()), filesOf(weights).unet.weights, {
      label: "the network",
    });
    for (const inputs of INPUTS) {
      const [got, want, seen] = [
        await program.run(inputs),
        await plain.run(inputs),
        await watching.run(inputs),
      ];
      for (const name of CONVOLUTIONS) {
        expect(relativeError(got[name]!.data, want[name]!.data), name).toBeLessThan(0.05);
        expect(relativeError(seen[name]!.data, want[name]!.data), name).toBeLessThan(0.05);
      }
    }
  });
});

test.each([Number.NaN, Number.POSITIVE_INFINITY])(
  "a weight of %s is refused by its name",
  async (value) => {
    const weights = weightsOf((changed) => {
      changed["second.weight"]!.data[5] = value;
    });
    await expect(watched(weights, new Map())).rejects.toMatchObject({
      code: "bad-file",
      message: expect.stringMatching(
        /^int8: second\.weight of .* not finite, .* damaged: .*--dtype fp32\.$/,
      ),
    });
  },
);

test("a network whose numbers are not finite is told from others", async () => {
  const weights = weightsOf((changed) => {
    changed["second.bias"]!.data[5] = Number.NaN;
  });
  await using program = await watched(weights, new Map());
  await expect(program.run(INPUTS[0]!)).rejects.toMatchObject({
    code: "bad-file",
    message: expect.stringMatching(/^int8: .* not finite at second, .* damaged: .*--dtype fp32\.$/),
  });
});

test.each([Number.NaN, Number.NEGATIVE_INFINITY])(
  "what is fed %s answers nothing, as in float32",
  async (value) => {
    const part = int8Program(filesOf(weightsOf()), "unet", 63, network, () => false);
    const ranges = new Map(
      [...part.layers].map(([path, channels]) => [path, new Float32Array(channels).fill(9)]),
    );
    const loaded = await engine.load(part.graph, part.weights, { label: "a network in 8 bits" });
    await using program = honest(overRanges(loaded, part, ranges));
    const { x } = INPUTS[0]!;
    const whole = await program.run({ x });
    const broken = await program.run({ x: { ...x, data: x.data.map((v, i) => (i ? v : value)) } });
    for (const name of CONVOLUTIONS) {
      expect(whole[name]!.data.every(Number.isFinite)).toBe(true);
      expect(broken[name]!.shape).toEqual(whole[name]!.shape);
      expect(broken[name]!.data.every(Number.isNaN)).toBe(true);
    }
    expect(await program.run({ x })).toEqual(whole);
  },
);

describe("rangesOf", () => {
  test("leaves room above what was seen", () => {
    const ranges = rangesOf(new Map([["conv", Float32Array.of(1, 4)]]), 1.25);
    expect([...ranges.get("conv")!]).toEqual([1.25, 5]);
  });

  test("gives dead channels a range to divide by", () => {
    const ranges = rangesOf(new Map([["conv", Float32Array.of(0, 1e-30)]]), 2);
    expect([...ranges.get("conv")!]).toEqual([LEAST_RANGE, LEAST_RANGE].map(Math.fround));
  });
});
