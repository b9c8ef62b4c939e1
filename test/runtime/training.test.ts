import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { graphOf } from "../../src/graph/graph.js";
import * as op from "../../src/graph/ops.js";
import { full, type Tensor, tensor } from "../../src/tensor/tensor.js";
import { relativeError } from "../engine/run.js";
import { openWeights, scratch, writeWeights } from "./support.js";
import { ADAMW, batchOf, contents, network, open, start, step, train } from "./trainingNetwork.js";

describe("training", () => {
  const on = open();
  afterAll(() => on[Symbol.asyncDispose]());

  test("learns, and an evaluation sees the weights as they are", async () => {
    const net = await train(on);
    const { prediction } = net;
    await using evaluation = await on.training.program(
      { prediction },
      { label: "evaluation", stores: [net.store] },
    );
    const errors: number[] = [];
    for (let n = 0; n < 60; n++) {
      const { loss } = await net.program.run(batchOf(0));
      await net.store.update({ step: n, learningRate: 3e-2 });
      errors.push(loss!.data[0]!);
    }
    expect(errors[59]!).toBeLessThan(errors[0]! / 50);
    const batch = batchOf(0);
    const after = await evaluation.run({ x: batch.x!, ids: batch.ids! });
    expect(relativeError(after.prediction!.data, batch.y!.data)).toBeLessThan(0.15);
    await net.program[Symbol.asyncDispose]();
    await net.store[Symbol.asyncDispose]();
  });

  test("adds gradients up, and takes their mean", async () => {
    const whole = await train(on, { label: "net", optimizer: { kind: "sgd" } }, 4);
    const halves = await train(on, { label: "net", optimizer: { kind: "sgd" } }, 2);
    const { x, ids, y } = batchOf(0);
    await whole.program.run({ x: x!, ids: ids!, y: y! });
    for (const half of [0, 1]) {
      const part = (t: Tensor): Tensor => {
        const size = t.data.length / 2;
        return tensor([2, ...t.shape.slice(1)], t.data.slice(half * size, (half + 1) * size));
      };
      await halves.program.run({ x: part(x!), ids: part(ids!), y: part(y!) });
    }
    const norms = await Promise.all(
      [whole, halves].map(({ store }) => store.update({ step: 0, learningRate: 0.1 })),
    );
    expect(norms[1]!.gradientNorm / norms[0]!.gradientNorm).toBeCloseTo(1, 5);
    const [a, b] = [await whole.store.read("params"), await halves.store.read("params")];
    for (const [name, { data }] of a) {
      expect(relativeError(b.get(name)!.data, data)).toBeLessThan(1e-6);
      expect([...data]).not.toEqual([...start().find((p) => p.name === name)!.data]);
    }
  });

  test("saved, restored in another engine and gone on with, ends with the same bits", async () => {
    const straight = await train(on);
    const reports: unknown[] = [];
    for (let n = 0; n < 6; n++) reports.push(await step(straight, n));

    const first = await train(on);
    for (let n = 0; n < 3; n++) await step(first, n);
    const saved = new Map<string, ReadonlyMap<string, Tensor>>();
    for (const part of first.store.parts) saved.set(part, await first.store.read(part));

    await using other = open();
    const second = await train(other);
    for (const [part, values] of saved) await second.store.write(part, values);
    for (let n = 3; n < 6; n++) expect(await step(second, n)).toEqual(reports[n]);
    expect(await contents(second.store)).toEqual(await contents(straight.store));
  });

  test("a store has the parts of its optimizer, and begins with zeros and its average", async () => {
    await using store = await on.training.store(start(), ADAMW);
    expect([...store.parts].sort()).toEqual(["ema", "exp_avg", "exp_avg_sq", "params"]);
    const parts = await contents(store);
    expect(parts.params).toEqual(Object.fromEntries(start().map((p) => [p.name, [...p.data]])));
    expect(parts.ema).toEqual(parts.params);
    expect(new Set(Object.values(parts.exp_avg_sq!).flat())).toEqual(new Set([0]));
  });

  test("least memory changes no number", async () => {
    const { program, store, loss, gradients } = await train(on);
    const fast = await program.run(batchOf(0));
    const { gradientNorm } = await store.update({ step: 0, learningRate: 0 });
    const options = { label: "net", stores: [store], gradients, leastMemory: true };
    await using least = await on.training.program({ loss }, options);
    expect([...(await least.run(batchOf(0))).loss!.data]).toEqual([...fast.loss!.data]);
    const again = await store.update({ step: 1, learningRate: 0 });
    expect(again.gradientNorm).toBe(gradientNorm);
  });

  test("a weight may be an output and its own gradient", async () => {
    const data = Float32Array.of(1, -2, 3);
    await using store = await on.training.store([{ name: "w", shape: [3], data }], {
      label: "w",
      optimizer: { kind: "sgd" },
    });
    const w = op.param("w", [3]);
    await using program = await on.training.program(
      { now: w, again: w },
      { label: "w", stores: [store], gradients: new Map([["w", w]]) },
    );
    const { now, again } = await program.run({});
    await program.run({});
    await store.update({ step: 0, learningRate: 0.5 });
    expect([...now!.data, ...again!.data]).toEqual([1, -2, 3, 1, -2, 3]);
    expect([...(await program.run({})).now!.data]).toEqual([0.5, -1, 1.5]);
  });

  test("what was read does not change when the store does", async () => {
    const net = await train(on);
    const before = await net.store.read("params");
    const copy = [...before.get("net.out.weight")!.data];
    await step(net, 0);
    expect([...before.get("net.out.weight")!.data]).toEqual(copy);
    expect([...(await net.store.read("params")).get("net.out.weight")!.data]).not.toEqual(copy);
  });

  test("a gradient that is no number applies nothing, and is forgotten", async () => {
    const net = await train(on);
    await step(net, 0);
    const before = await contents(net.store);
    await net.program.run({ ...batchOf(1), y: full([4, 2], Number.POSITIVE_INFINITY) });
    const { gradientNorm } = await net.store.update({ step: 1, learningRate: 1e-2 });
    expect(Number.isFinite(gradientNorm)).toBe(false);
    expect(await contents(net.store)).toEqual(before);
    const [loss, norm] = await step(net, 1);
    expect(Number.isFinite(loss) && Number.isFinite(norm)).toBe(true);
  });

  test("a parameter without a gradient stays, and its average follows others' steps", async () => {
    const { loss, gradients } = network(4);
    await using store = await on.training.store(start(), { ...ADAMW, ema: { decay: 0 } });
    const some = new Map([...gradients].filter(([name]) => name.startsWith("net.conv")));
    const label = "conv";
    await using program = await on.training.program(
      { loss },
      { label, stores: [store], gradients: some },
    );
    await program.run(batchOf(0));
    await store.update({ step: 0, learningRate: 1 });
    const { params, ema } = await contents(store);
    for (const { name } of start()) {
      expect(relativeError(ema![name]!, params![name]!)).toBeLessThan(1e-6);
    }
    for (const { name, data } of start()) {
      if (some.has(name)) expect(params![name]).not.toEqual([...data]);
      else expect(params![name]).toEqual([...data]);
    }
  });

  test("trains one store against weights of another and frozen ones in a file", async () => {
    await using folder = await scratch();
    const { loss, prediction, gradients } = network(4);
    const path = join(folder.path, "frozen.bin");
    const graph = graphOf({ prediction });
    await writeWeights(path, graph);
    const all = await openWeights(path, graph);
    const frozen = new Map([...all].filter(([name]) => name === "net.conv.weight"));
    const [trained, other] = [start().slice(4), start().slice(1, 4)];
    await using a = await on.training.store(trained, { ...ADAMW, label: "trained" });
    await using b = await on.training.store(other, { ...ADAMW, label: "other" });
    const key = "net.out.weight";
    await using program = await on.training.program(
      { loss },
      {
        label: "mixed",
        stores: [a, b],
        frozen,
        gradients: new Map([[key, gradients.get(key)!]]),
      },
    );
    const losses: number[] = [];
    for (let n = 0; n < 30; n++) {
      losses.push((await program.run(batchOf(0))).loss!.data[0]!);
      await a.update({ step: n, learningRate: 1e-2 });
    }
    expect(losses[29]!).toBeLessThan(losses[0]!);
    const unmoved = Object.fromEntries(other.map((p) => [p.name, [...p.data]]));
    expect((await contents(b)).params).toEqual(unmoved);
    await expect(b.update({ step: 0, learningRate: 1 })).rejects.toThrow(
      /no gradient was gathered/,
    );
  });
});
