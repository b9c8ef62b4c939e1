import type { ComputeType } from "../../onnx/builder.js";
import { browserWorker } from "../../platform/browser/worker.js";
import { connect } from "../client.js";
import { type Engine, engine } from "../engine.js";
import { deviceSetup } from "../setups.js";

/** Where graphs run in a browser. */
export type BrowserDevice = "webgpu" | "wasm";

/** Settings of an engine in a browser. */
export interface BrowserEngineOptions {
  readonly device: BrowserDevice;
  /** Precision of the arithmetic; float32 by default. "f16" needs an adapter with shader-f16. */
  readonly compute?: ComputeType | undefined;
  /** Threads of WebAssembly, where the page is cross-origin isolated; half the cores by default. */
  readonly threads?: number | undefined;
  /**
   * Folder (with a slash at its end) where onnxruntime-web's `ort-wasm-*` files are served; beside
   * the bundled worker by default.
   */
  readonly wasmPaths?: string | undefined;
  /** Bytes that one GPU buffer may have, as `listBrowserDevices` says. */
  readonly bufferBytes?: number | undefined;
  /** The worker, where the bundler does not find `worker.js` beside this module by itself. */
  readonly worker?: Worker | undefined;
}

/** The first message to the worker. */
export interface WorkerConfig {
  readonly device: BrowserDevice;
  readonly wasmPaths: string | undefined;
  readonly threads: number | undefined;
}

/** An engine in a worker of this page. */
export function browserEngine(options: BrowserEngineOptions): Engine {
  const { device, compute, bufferBytes, wasmPaths } = options;
  const worker =
    options.worker ?? new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  const handle = browserWorker(worker);
  const threads = crossOriginIsolated ? options.threads : 1;
  const config: WorkerConfig = { device, wasmPaths, threads };
  handle.post(config);
  const setup = deviceSetup(device, { compute, bufferBytes });
  return engine(connect(handle), { ...setup, mapsFiles: false });
}
