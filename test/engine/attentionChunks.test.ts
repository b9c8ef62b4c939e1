import { afterAll, describe, expect, test } from "vitest";
import { attention } from "../../src/graph/composites.js";
import { mulDims, symbol } from "../../src/graph/dim.js";
import { graphOf } from "../../src/graph/graph.js";
import { input, reshape } from "../../src/graph/ops.js";
import type { Value } from "../../src/graph/value.js";
import { nodePlatform } from "../../src/platform/node/platform.js";
import type { Engine } from "../../src/runtime/engine.js";
import { nodeEngine } from "../../src/runtime/node/engine.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { findAdapter, useAdapter } from "./adapters.js";
import { engineError, pseudoRandom, relativeError } from "./run.js";

/*
 * Queries are cut into chunks so that no matrix of scores outgrows what an adapter can bind. One
 * program must answer for sizes below, at and far from the number of chunks.
 */

const adapter = findAdapter();
const platform = nodePlatform();
const [b, h, w] = [symbol("b"), symbol("h"), symbol("w")];
const heads = 8;

const selfAttention = (x: Value, channels: number): Value =>
  attention(x, x, x, { heads, scale: (channels / heads) ** -0.5, causal: false });

describe.skipIf(adapter === undefined)("attention on WebGPU, in chunks", () => {
  if (adapter !== undefined) useAdapter(adapter);
  const engines: Engine[] = [];
  const open = (device: "cpu" | "webgpu", bufferBytes?: number): Engine => {
    const engine = nodeEngine({ platform, device, cacheLimit: 0, bufferBytes });
    engines.push(engine);
    return engine;
  };
  afterAll(() => Promise.all(engines.map((e) => e[Symbol.asyncDispose]())));

  // One row of scores takes 8 KiB at the largest size, 2 x 8 heads x 128 keys: 43 chunks.
  test.each([
    [1, 1],
    [2, 7],
    [1, 42],
    [1, 43],
    [3, 44],
    [2, 90],
  ])("batch %i of %i tokens is what the float64 evaluator says", async (batch, tokens) => {
    const error = await engineError(open("webgpu", 32 << 10), {
      name: "attention",
      shapes: { x: [batch, tokens, 16] },
      output: selfAttention(input("x", [b, h, 16]), 16),
    });
    expect(error).toBeLessThan(1e-6);
  });

  test("a size that even chunks cannot serve is refused", async () => {
    const x = input("x", [b, h, 16]);
    const graph = graphOf({ y: selfAttention(x, 16) });
    await using program = await open("webgpu", 32 << 10).load(graph, new Map(), { label: "it" });
    await expect(program.run({ x: pseudoRandom([9, 200, 16], 1) })).rejects.toThrow(
      "it: this size needs a buffer of 345.6 kB, and webgpu allows 32.8 kB here.",
    );
  });

  test("512 x 512 pixels at the finest level of Stable Diffusion are what the CPU says", async () => {
    const x = pseudoRandom([1, 64, 64, 320], 1, [-4, 4]);
    const pixels = reshape(input("x", [b, h, w, 320]), [b, mulDims(h, w), 320]);
    const run = async (engine: Engine): Promise<Tensor> => {
      const graph = graphOf({ y: selfAttention(pixels, 320) });
      await using program = await engine.load(graph, new Map(), { label: "attention" });
      return (await program.run({ x })).y!;
    };
    const [cpu, gpu] = [await run(open("cpu")), await run(open("webgpu"))];
    expect(relativeError(gpu.data, cpu.data)).toBeLessThan(1e-5);
  });
});
