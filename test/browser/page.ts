import { symbol } from "../../src/graph/dim.js";
import { graphOf } from "../../src/graph/graph.js";
import * as op from "../../src/graph/ops.js";
import type { Value } from "../../src/graph/value.js";
import { browserPlatform } from "../../src/platform/browser/platform.js";
import { listBrowserDevices } from "../../src/runtime/browser/devices.js";
import { browserEngine } from "../../src/runtime/browser/engine.js";
import type { DeviceReport } from "../../src/runtime/devices.js";
import type { Engine } from "../../src/runtime/engine.js";
import { full } from "../../src/tensor/tensor.js";
import { ENGINE_CASES } from "../engine/cases.js";
import { modelCases } from "../engine/models.js";
import { engineError } from "../engine/run.js";

/* What the tests call inside the page, through `window.tintype`. */

type Device = "webgpu" | "wasm";

const engines = new Map<Device, Engine>();

/** The one engine of a device: WebAssembly and shaders take far longer to compile than tests to run. */
function engineOn(device: Device): Engine {
  const engine =
    engines.get(device) ??
    browserEngine({
      device,
      wasmPaths: new URL("/ort/", location.href).href,
      worker: new Worker("/worker.js", { type: "module" }),
    });
  engines.set(device, engine);
  return engine;
}

/** The functions of the page. Errors are relative; a thrown error is its message. */
export interface TestPage {
  devices(): Promise<DeviceReport[]>;
  operators(device: Device): Promise<Record<string, number | string>>;
  networks(device: Device, model: string): Promise<Record<string, number | string>>;
  /** What a program makes of 2 x, left on the GPU by another: x + 1; before that is freed, and after. */
  handedOn(x: number): Promise<readonly [before: number, after: number]>;
}

async function collect(
  engine: Engine,
  cases: readonly { name: string; error: (engine: Engine) => Promise<number> }[],
): Promise<Record<string, number | string>> {
  const errors: Record<string, number | string> = {};
  for (const { name, error } of cases) {
    errors[name] = await error(engine).catch((cause: unknown) => String(cause));
  }
  return errors;
}

const page: TestPage = {
  devices: listBrowserDevices,
  async operators(device) {
    const engine = engineOn(device);
    const cases = ENGINE_CASES.map((c) => ({
      name: c.name,
      error: (e: Engine) => engineError(e, c),
    }));
    return await collect(engine, cases);
  },
  async networks(device, model) {
    const engine = engineOn(device);
    const golden = new URL("/golden", location.href).href;
    return await collect(engine, await modelCases(browserPlatform(), golden, model));
  },
  async handedOn(value) {
    const engine = engineOn("webgpu");
    const of = (f: (x: Value) => Value) => graphOf({ y: f(op.input("x", [symbol("n")])) });
    const twice = of((x) => op.mul(x, 2));
    const first = await engine.load(twice, new Map(), { label: "first", handsOn: true });
    await using second = await engine.load(
      of((x) => op.add(x, 1)),
      new Map(),
      { label: "second" },
    );
    const { y } = await first.onDevice!.leave!({ x: full([3], value) });
    using left = y!;
    const read = async () => (await second.onDevice!.run({ x: left })).y!.data[2]!;
    const before = await read();
    await first[Symbol.asyncDispose]();
    return [before, await read()];
  },
};

Object.assign(window, { tintype: page });
