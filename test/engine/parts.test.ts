import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { symbol } from "../../src/graph/dim.js";
import { evaluate } from "../../src/graph/evaluate.js";
import { graphOf } from "../../src/graph/graph.js";
import * as op from "../../src/graph/ops.js";
import { denseParams, linear, linearParts } from "../../src/nn/index.js";
import { nodePlatform } from "../../src/platform/node/platform.js";
import { nodeEngine } from "../../src/runtime/node/engine.js";
import { fromFloat32, readTensor } from "../../src/tensor/convert.js";
import type { StoredTensor } from "../../src/tensor/stored.js";
import { memorySource } from "../../src/util/bytes.js";
import { pseudoRandom, relativeError } from "./run.js";

/*
 * Layers in parts read rows of a weight where they stand, in files of every type and in memory.
 */

const platform = nodePlatform();
const engine = nodeEngine({ platform, device: "cpu", threads: 1, cacheLimit: 0 });
let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tintype-parts-"));
});
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const [WEIGHT, BIAS] = [pseudoRandom([24, 10], 1), pseudoRandom([24], 2)];
const x = pseudoRandom([2, 5, 10], 3);
const input = op.input("x", [2, symbol("n"), 10]);

/** GEGLU's shape, and a sum that takes the last part twice. */
function network() {
  const p = denseParams();
  const [first, second, third] = linearParts(p.at("to"), input, 24, 3);
  return graphOf({ y: op.add(op.mul(first!, op.sigmoid(second!)), op.mul(third!, third!)) });
}

/** The same parts, beside the whole. */
function withWhole() {
  const whole = linear(denseParams().at("to"), input, 24);
  return graphOf({ part: op.slice(whole, -1, 8, 8), whole });
}

describe.each(["f32", "f16", "bf16"] as const)("weights in %s", (dtype) => {
  test.each(["a file", "memory"])("of %s", async (where) => {
    const pieces = [
      new Uint8Array(64),
      fromFloat32(WEIGHT.data, dtype),
      fromFloat32(BIAS.data, dtype),
    ];
    const bytes = new Uint8Array(Buffer.concat(pieces));
    const path = join(folder, `${dtype}.bin`);
    await writeFile(path, bytes);
    const source =
      where === "memory" ? memorySource("weights", bytes) : await platform.openFile(path);
    const at = (shape: readonly number[], offset: number, length: number): StoredTensor => ({
      ...{ dtype, shape, source, offset, length },
    });
    const weights = new Map([
      ["to.weight", at([24, 10], 64, pieces[1]!.length)],
      ["to.bias", at([24], 64 + pieces[1]!.length, pieces[2]!.length)],
    ]);
    const known = new Map<string, Float32Array>();
    for (const [name, stored] of weights) known.set(name, (await readTensor(stored)).data);
    for (const graph of [network(), withWhole()]) {
      const names = Object.keys(graph.outputs);
      const want = evaluate(Object.values(graph.outputs), {
        inputs: { x: { shape: x.shape, data: Float64Array.from(x.data) } },
        params: (name) => ({
          shape: weights.get(name)!.shape,
          data: Float64Array.from(known.get(name)!),
        }),
      });
      await using program = await engine.load(graph, weights, { label: "parts" });
      const got = await program.run({ x });
      for (const [i, name] of names.entries()) {
        expect(got[name]!.shape).toEqual(want[i]!.shape);
        expect(relativeError(got[name]!.data, want[i]!.data)).toBeLessThan(1e-5);
      }
    }
  });
});
