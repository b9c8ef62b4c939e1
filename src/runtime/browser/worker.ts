import { browserWorkerPort } from "../../platform/browser/worker.js";
import { hostSessions } from "../sessionHost.js";
import type { WorkerConfig } from "./engine.js";

/** ONNX Runtime starts its threads from the module that it was bundled into: this one. */
const isThread = (globalThis as { name?: string }).name?.startsWith("em-pthread") ?? false;

async function start(): Promise<void> {
  const port = browserWorkerPort();
  const { device, wasmPaths, threads } = (await port.first()) as WorkerConfig;
  const ort =
    device === "webgpu"
      ? await import("onnxruntime-web/webgpu")
      : await import("onnxruntime-web/wasm");
  if (wasmPaths !== undefined) ort.env.wasm.wasmPaths = wasmPaths;
  if (threads !== undefined) ort.env.wasm.numThreads = threads;
  hostSessions(ort, port);
}

if (!isThread) {
  start().catch((error: unknown) => {
    // Thrown outside of a promise, it reaches the owner as an "error" event.
    setTimeout(() => {
      throw error;
    });
  });
}
