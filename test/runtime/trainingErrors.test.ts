import { readFileSync } from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import { symbol } from "../../src/graph/dim.js";
import * as op from "../../src/graph/ops.js";
import { CPU_RULES } from "../../src/onnx/cpu.js";
import { startNodeWorker } from "../../src/platform/node/worker.js";
import { connect } from "../../src/runtime/client.js";
import { type Engine, engine } from "../../src/runtime/engine.js";
import { deviceSetup } from "../../src/runtime/setups.js";
import type { ProgramOptions, TrainingProgram } from "../../src/runtime/training.js";
import type { WeightLayout } from "../../src/tensor/blocks.js";
import type { StoredTensors } from "../../src/tensor/stored.js";
import { full, type Tensor, tensor, zeros } from "../../src/tensor/tensor.js";
import { memorySource } from "../../src/util/bytes.js";
import { TintypeError } from "../../src/util/errors.js";
import { relativeError } from "../engine/run.js";
import { ADAMW, batchOf, contents, network, open, start, step, train } from "./trainingNetwork.js";

async function failure(promise: Promise<unknown>): Promise<TintypeError> {
  const error = await promise.then(
    () => new Error("it did not fail"),
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(TintypeError);
  return error as TintypeError;
}

const message = async (promise: Promise<unknown>): Promise<string> => {
  const { code, message } = await failure(promise);
  return `${code}: ${message}`;
};

const NET = network(4);

function frozen(name: string, shape: readonly number[]): StoredTensors {
  const { data } = zeros(shape);
  const source = memorySource(name, new Uint8Array(data.buffer));
  return new Map([[name, { dtype: "f32", shape, source, offset: 0, length: data.byteLength }]]);
}

describe("what does not fit together is told", () => {
  const on = open();
  afterAll(() => on[Symbol.asyncDispose]());
  const store = (names: readonly string[], label = "net") =>
    on.training.store(
      start().filter((p) => names.some((name) => p.name.includes(name))),
      { ...ADAMW, label },
    );
  const program = (options: Partial<ProgramOptions>): Promise<TrainingProgram> =>
    on.training.program({ loss: NET.loss }, { label: "train net", stores: [], ...options });

  test("a parameter in two stores", async () => {
    const stores = [await store(["net"], "all"), await store(["conv"], "encoder")];
    expect(await message(program({ stores }))).toBe(
      'mismatch: train net: the parameter "net.conv.weight" is in two stores, "all" and "encoder". Leave one out.',
    );
  });

  test("a weight that is nowhere", async () => {
    const stores = [await store(["conv", "middle", "table"])];
    expect(await message(program({ stores }))).toBe(
      'mismatch: train net: the weight "net.out.weight" is in no store and not among the frozen ones.',
    );
  });

  test("a frozen weight of another shape", async () => {
    const stores = [await store(["conv", "middle", "table"])];
    expect(await message(program({ stores, frozen: frozen("net.out.weight", [16, 2]) }))).toBe(
      'mismatch: train net: the weight "net.out.weight" of the frozen weights: expected the shape [2,16], got [16, 2].',
    );
  });

  test("a parameter of another shape", async () => {
    const data = new Float32Array(32);
    const odd = await on.training.store([{ name: "net.out.weight", shape: [16, 2], data }], ADAMW);
    expect(
      await message(program({ stores: [odd, await store(["conv", "middle", "table"])] })),
    ).toBe(
      'mismatch: train net: the weight "net.out.weight" of the store "net": expected the shape [2,16], got [16, 2].',
    );
  });

  test("gradients that belong to no parameter, or have another shape", async () => {
    const stores = [await store(["net"])];
    const g = NET.gradients.get("net.out.weight")!;
    expect(await message(program({ stores, gradients: new Map([["net.out.wieght", g]]) }))).toBe(
      'mismatch: train net: there is a gradient for "net.out.wieght", which is in none of the stores.',
    );
    expect(await message(program({ stores, gradients: new Map([["net.conv.bias", g]]) }))).toBe(
      'mismatch: train net: the gradient of "net.conv.bias": expected the shape [16], got [2, 16].',
    );
  });

  test("parameters that are no parameters", async () => {
    const [first] = start();
    expect(await message(on.training.store([first!, first!], ADAMW))).toBe(
      'mismatch: net: two parameters are named "net.conv.weight".',
    );
    expect(await message(on.training.store([{ ...first!, shape: [16, 3] }], ADAMW))).toBe(
      'mismatch: net: the parameter "net.conv.weight" has the shape [16,3], but 432 numbers.',
    );
  });

  test("parts and values that a store has not", async () => {
    const net = await store(["net"]);
    expect(await message(net.read("exp_avg_sqr"))).toBe(
      'mismatch: net: it has no part "exp_avg_sqr". It has params, exp_avg, exp_avg_sq, ema.',
    );
    expect(await message(net.write("params", new Map([["x", zeros([2])]])))).toBe(
      'mismatch: net: it has no parameter "x" to write.',
    );
    expect(await message(net.write("ema", new Map([["net.conv.bias", zeros([2])]])))).toBe(
      'mismatch: net: part "ema" of "net.conv.bias": expected the shape [16], got [2].',
    );
  });

  test("stores that are disposed, or another engine's", async () => {
    const net = await train(on);
    await net.store[Symbol.asyncDispose]();
    await expect(net.program.run(batchOf(0))).rejects.toThrow(/its store "net" is disposed/);
    await expect(net.store.read("params")).rejects.toThrow(/net: the store is disposed/);
    await expect(program({ stores: [net.store] })).rejects.toThrow(/disposed or another engine's/);
    await using other = open();
    const stores = [await other.training.store(start(), ADAMW)];
    await expect(program({ stores })).rejects.toThrow(/disposed or another engine's/);
  });

  test("indices that are no whole numbers", async () => {
    const net = await train(on);
    const ids = full([4], 1.5);
    await expect(net.program.run({ ...batchOf(0), ids })).rejects.toThrow(/takes whole numbers/);
  });

  test("a device that cannot train", async () => {
    const worker = connect(startNodeWorker(new URL("./nowhere.js", import.meta.url)));
    const gpu = engine(worker, deviceSetup("webgpu"));
    expect(await message(gpu.training.store(start(), ADAMW))).toMatch(
      /^unsupported: training: webgpu cannot train\. Use the device cpu, or wasm in a browser/,
    );
    await worker.terminate();
  });

  test("a run beyond memory names the program, and the store is as it was", async () => {
    const n = symbol("n");
    const [column, row] = [op.input("x", [n, 1]), op.input("y", [1, n])];
    const weight = op.param("net.conv.bias", [16]);
    const square = op.sum(op.exp(op.add(column, row)), [0, 1]);
    await using net = await store(["net.conv.bias"]);
    const before = await contents(net);
    await using large = await on.training.program(
      { z: op.mul(square, weight) },
      { label: "large", stores: [net] },
    );
    const side = 3_000_000;
    const error = await message(large.run({ x: zeros([side, 1]), y: zeros([1, side]) }));
    expect(error).toMatch(/^out-of-memory: large: memory ran out on cpu .* Try a smaller batch/);
    expect(await contents(net)).toEqual(before);
  });
});

describe("a worker that dies", () => {
  test("fails stores and programs with a clear error", async () => {
    const worker = startNodeWorker(new URL("./doomedTrainer.js", import.meta.url));
    const on = engine(connect(worker), deviceSetup("cpu", { threads: 1 }));
    const net = await train(on);
    await net.program.run(batchOf(0));
    const died = /^device: The engine's worker died \(the worker ended with code 3\)/;
    expect(await message(net.store.update({ step: 0, learningRate: 0 }))).toMatch(died);
    expect(await message(net.program.run(batchOf(0)))).toMatch(died);
    expect(await message(net.store.read("params"))).toMatch(died);
    await net.store[Symbol.asyncDispose]();
    await net.program[Symbol.asyncDispose]();
    await on[Symbol.asyncDispose]();
  });
});

describe("layouts of parameters", () => {
  /** Backwards, which shows wherever it is not undone. */
  const backwards = (shape: readonly number[]): WeightLayout => ({
    feedShape: shape,
    pack: (plain) => new Float32Array(plain).reverse(),
    unpack: (packed) => new Float32Array(packed).reverse(),
  });

  test("are undone by reading and writing, and apply to gradients", async () => {
    const worker = startNodeWorker(new URL("../../src/runtime/node/worker.js", import.meta.url));
    await using on: Engine = engine(connect(worker), {
      ...deviceSetup("cpu", { threads: 1 }),
      training: async () => ({
        rules: CPU_RULES,
        fillsOutputs: true,
        layoutOf: (shape) => (shape.length === 1 ? backwards(shape) : undefined),
      }),
    });
    const w = op.param("w", [3]);
    const c = op.input("c", [3]);
    const data = Float32Array.of(1, 2, 3);
    const store = await on.training.store([{ name: "w", shape: [3], data }], {
      label: "w",
      optimizer: { kind: "sgd" },
    });
    const program = await on.training.program(
      { turned: op.neg(w) },
      { label: "w", stores: [store], gradients: new Map([["w", op.mul(c, 1)]]) },
    );
    const run = async (): Promise<number[]> => {
      const fed = await program.run({ c: tensor([3], Float32Array.of(8, 16, 32)) });
      return [...fed.turned!.data];
    };
    expect(await run()).toEqual([-3, -2, -1]);
    expect((await contents(store)).params).toEqual({ w: [1, 2, 3] });
    await store.update({ step: 0, learningRate: 0.125 });
    expect((await contents(store)).params).toEqual({ w: [1 - 4, 2 - 2, 3 - 1] });
    await store.write("params", new Map([["w", tensor([3], Float32Array.of(5, 6, 7))]]));
    expect(await run()).toEqual([-7, -6, -5]);
  });
});

test("in WebAssembly, the same training", async () => {
  await using cpu = open("cpu");
  await using wasm = open("wasm");
  const nets = [await train(cpu), await train(wasm)] as const;
  for (let n = 0; n < 4; n++) {
    for (const net of nets) await net.program.run(batchOf(n + 100)); // two batches a step
    const [[a, b], [c, d]] = [await step(nets[0], n), await step(nets[1], n)];
    expect(Math.abs(c / a - 1) + Math.abs(d / b - 1)).toBeLessThan(1e-5);
  }
  const [a, b]: ReadonlyMap<string, Tensor>[] = [
    await nets[0].store.read("params"),
    await nets[1].store.read("params"),
  ];
  for (const [name, { data }] of a!) {
    expect(relativeError(b!.get(name)!.data, data)).toBeLessThan(1e-5);
  }
});

/** Bytes of memory that this process holds now. */
function residentBytes(): number {
  const [, pages] = readFileSync("/proc/self/statm", "utf8").split(" ");
  return Number(pages) * 4096;
}

test.skipIf(process.platform !== "linux")(
  "a store that is disposed gives its memory back",
  async () => {
    await using on = open();
    const data = new Float32Array(2 ** 25).fill(1);
    const before = residentBytes();
    const store = await on.training.store([{ name: "w", shape: [2 ** 25], data }], ADAMW);
    expect(residentBytes() - before).toBeGreaterThan(2 * data.byteLength); // itself and its average
    await store[Symbol.asyncDispose]();
    await expect
      .poll(() => residentBytes() - before, { timeout: 5000 })
      .toBeLessThan(data.byteLength);
  },
);
