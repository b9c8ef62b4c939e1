import { browserPlatform } from "../../src/platform/browser/platform.js";
import { listBrowserDevices } from "../../src/runtime/browser/devices.js";
import { browserEngine } from "../../src/runtime/browser/engine.js";
import type { DeviceReport } from "../../src/runtime/devices.js";
import type { Engine } from "../../src/runtime/engine.js";
import { ENGINE_CASES } from "../engine/cases.js";
import { modelCases } from "../engine/models.js";
import { engineError } from "../engine/run.js";

/* What the tests call inside the page, through `window.tintype`. */

const open = (device: "webgpu" | "wasm"): Engine =>
  browserEngine({
    device,
    wasmPaths: new URL("/ort/", location.href).href,
    worker: new Worker("/worker.js", { type: "module" }),
  });

/** The functions of the page. Errors are relative; a thrown error is its message. */
export interface TestPage {
  devices(): Promise<DeviceReport[]>;
  operators(device: "webgpu" | "wasm"): Promise<Record<string, number | string>>;
  networks(device: "webgpu" | "wasm", model: string): Promise<Record<string, number | string>>;
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
    await using engine = open(device);
    const cases = ENGINE_CASES.map((c) => ({
      name: c.name,
      error: (e: Engine) => engineError(e, c),
    }));
    return await collect(engine, cases);
  },
  async networks(device, model) {
    await using engine = open(device);
    const golden = new URL("/golden", location.href).href;
    return await collect(engine, await modelCases(browserPlatform(), golden, model));
  },
};

Object.assign(window, { tintype: page });
