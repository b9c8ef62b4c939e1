import { describe, expect, test } from "vitest";
import { symbol } from "../../src/graph/dim.js";
import { type Graph, graphOf } from "../../src/graph/graph.js";
import * as op from "../../src/graph/ops.js";
import type { Value } from "../../src/graph/value.js";
import { nodePlatform } from "../../src/platform/node/platform.js";
import type { Port, WorkerHandle } from "../../src/platform/worker.js";
import { connect } from "../../src/runtime/client.js";
import { type Engine, engine } from "../../src/runtime/engine.js";
import { nodeEngine } from "../../src/runtime/node/engine.js";
import { hostSessions, type OrtModule } from "../../src/runtime/sessionHost.js";
import { deviceSetup } from "../../src/runtime/setups.js";
import { full } from "../../src/tensor/tensor.js";
import { findAdapter, useAdapter } from "../engine/adapters.js";

/*
 * Results that stay on the device: what crosses to it, and when it is freed.
 */

const of = (f: (x: Value) => Value): Graph => graphOf({ y: f(op.input("x", [symbol("n")])) });
const TWICE = of((x) => op.mul(x, 2));
const MORE = of((x) => op.add(x, 1));

/** What a fake device has been asked. */
interface FakeDevice {
  readonly locations: (string | undefined)[];
  readonly fed: unknown[];
  readonly freed: unknown[];
}

/** An engine in this thread over sessions that compute nothing; results of some stay on the device. */
function fakeEngine(): { readonly on: Engine; readonly device: FakeDevice } {
  const device: FakeDevice = { locations: [], fed: [], freed: [] };
  const create = async (_: unknown, options: { preferredOutputLocation?: string }) => {
    const location = options.preferredOutputLocation;
    device.locations.push(location);
    const result = { location: location ?? "cpu", dims: [3], data: Float32Array.of(1, 2, 3) };
    return {
      async run({ x }: { readonly x: unknown }) {
        device.fed.push(x);
        const y = { ...result, dispose: () => void device.freed.push(y) };
        return { y };
      },
      release: async () => {},
    };
  };
  const ort = { InferenceSession: { create }, Tensor: class {} } as unknown as OrtModule;
  const host: ((message: unknown) => void)[] = [];
  const guest: ((message: unknown) => void)[] = [];
  const port: Port = {
    post: (message) => host[0]!(message),
    listen: (listener) => void guest.push(listener),
  };
  hostSessions(ort, port);
  const worker: WorkerHandle = {
    post: (message) => guest[0]!(message),
    listen: (listener) => void host.push(listener),
    onDeath: () => {},
    terminate: async () => {},
  };
  return { on: engine(connect(worker), deviceSetup("webgpu")), device };
}

const X = { x: full([3], 1) };

describe("results of a program that hands them on", () => {
  test("stay on the device, are fed from there, and are freed once they are disposed of", async () => {
    const { on, device } = fakeEngine();
    const first = await on.load(TWICE, new Map(), { label: "first", handsOn: true });
    const second = await on.load(MORE, new Map(), { label: "second" });
    expect(device.locations).toEqual(["gpu-buffer", undefined]);
    expect(second.onDevice!.leave).toBeUndefined();
    const { y } = await first.onDevice!.leave!(X);
    expect(y!.shape).toEqual([3]);
    const answer = await second.onDevice!.run({ x: y! });
    expect([...answer.y!.data]).toEqual([1, 2, 3]);
    const [, there] = device.fed;
    expect(there).toMatchObject({ location: "gpu-buffer" });
    expect(device.freed).toEqual([]);
    y![Symbol.dispose]();
    y![Symbol.dispose]();
    await expect(second.onDevice!.run({ x: y! })).rejects.toThrow(/no resident result/);
    expect(device.freed).toEqual([there]);
  });

  test("do not come to the host, which says so", async () => {
    const { on } = fakeEngine();
    const program = await on.load(TWICE, new Map(), { label: "first", handsOn: true });
    await expect(program.run(X)).rejects.toThrow("first: its results stay on the device");
  });

  test("are of the size that the next program takes", async () => {
    const { on } = fakeEngine();
    const first = await on.load(TWICE, new Map(), { label: "first", handsOn: true });
    const square = graphOf({ y: op.neg(op.input("x", [3, 3])) });
    const second = await on.load(square, new Map(), { label: "second" });
    const { y } = await first.onDevice!.leave!(X);
    await expect(second.onDevice!.run({ x: y! })).rejects.toThrow(
      'second: input "x" is [3], expected [3, 3]',
    );
  });

  test.each(["cpu", "wasm", "cuda"] as const)("come to the host on %s", async (name) => {
    await using on = nodeEngine({ platform: nodePlatform(), device: "cpu", cacheLimit: 0 });
    expect(deviceSetup(name).keepsResults).toBeUndefined();
    await using program = await on.load(TWICE, new Map(), { label: "first", handsOn: true });
    expect(program.onDevice).toBeUndefined();
    expect([...(await program.run(X)).y!.data]).toEqual([2, 2, 2]);
  });
});

const adapter = findAdapter();
describe.skipIf(adapter === undefined)("on a software adapter", () => {
  test("what one program left, others read, also after it was freed", async () => {
    useAdapter(adapter!);
    await using on = nodeEngine({ platform: nodePlatform(), device: "webgpu", cacheLimit: 0 });
    const first = await on.load(TWICE, new Map(), { label: "first", handsOn: true });
    await using second = await on.load(MORE, new Map(), { label: "second" });
    const left = await first.onDevice!.leave!(X);
    const again = await first.onDevice!.leave!({ x: full([3], 5) });
    const read = async (x: typeof left): Promise<number[]> => [
      ...(await second.onDevice!.run({ x: x.y! })).y!.data,
    ];
    expect(await read(again)).toEqual([11, 11, 11]);
    await first[Symbol.asyncDispose]();
    expect(await read(left)).toEqual([3, 3, 3]);
    left.y![Symbol.dispose]();
    await expect(read(left)).rejects.toThrow(/no resident result/);
    expect(await read(again)).toEqual([11, 11, 11]);
  });
});
