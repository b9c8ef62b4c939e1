import { loadModelFiles } from "./checkpoints/index.js";
import { type DiffusionModel, openModel, type Part } from "./pipelines/index.js";
import { blobSource, fileListFolder } from "./platform/browser/blobs.js";
import { browserPlatform } from "./platform/browser/platform.js";
import { listBrowserDevices } from "./runtime/browser/devices.js";
import {
  type BrowserDevice,
  type BrowserEngineOptions,
  browserEngine,
} from "./runtime/browser/engine.js";
import type { DeviceReport } from "./runtime/devices.js";
import type { ByteSource, Folder } from "./util/bytes.js";
import { check, TintypeError } from "./util/errors.js";

/*
 * Tintype in a browser: the parts put together for a page.
 */

export { encodePng } from "./formats/index.js";
export type { EmaSpec, OptimizerSpec, ScheduleSpec } from "./optim/index.js";
export * from "./pipelines/index.js";
export { blobSource, fileListFolder } from "./platform/browser/blobs.js";
export { httpFolder, httpSource } from "./platform/browser/http.js";
export { decodePicture } from "./platform/browser/images.js";
export { browserPlatform } from "./platform/browser/platform.js";
export { listBrowserDevices } from "./runtime/browser/devices.js";
export {
  type BrowserDevice,
  type BrowserEngineOptions,
  browserEngine,
} from "./runtime/browser/engine.js";
export type {
  ParameterSpec,
  ParameterStore,
  ProgramOptions,
  StoreOptions,
  TrainingEngine,
  TrainingProgram,
} from "./runtime/training.js";
export { type ErrorCode, TintypeError } from "./util/errors.js";
export { VERSION } from "./util/version.js";

/** How to run a model in a page. */
export interface BrowserModelOptions extends Omit<BrowserEngineOptions, "device" | "bufferBytes"> {
  /** Where it runs; "auto", the default, is a real GPU, otherwise WebAssembly. */
  readonly device?: BrowserDevice | "auto" | undefined;
  /** A diffusers folder that says what a single file cannot. */
  readonly config?: Folder | undefined;
  /** Keeps one part of the model in memory at a time. */
  readonly lowMemory?: boolean | undefined;
  /** Told before a part of the model is loaded. */
  readonly onLoad?: ((part: Part) => void) | undefined;
}

/** A model in a page, and what it runs on. */
export interface BrowserModel extends DiffusionModel {
  readonly device: DeviceReport;
}

/** What a page may hand over as a model: a URL, a file or a folder that the user picked. */
export type BrowserModelSource = string | File | FileList | ByteSource | Folder;

/** Opens a model, ready to make pictures. Dispose it (`await using`) to free its memory. */
export async function loadModel(
  source: BrowserModelSource,
  options: BrowserModelOptions = {},
): Promise<BrowserModel> {
  const device = await chooseDevice(options.device ?? "auto");
  check(
    options.compute !== "f16" || device.compute?.includes("f16") === true,
    "device",
    `${device.name} cannot compute in half precision here: leave out compute, or use a GPU that has shader-f16.`,
  );
  const content = await open(source);
  const files = await loadModelFiles(content, options.config ? { config: options.config } : {});
  const engine = browserEngine({
    ...options,
    device: device.name as BrowserDevice,
    bufferBytes: device.bufferBytes,
  });
  try {
    const model = await openModel(files, {
      engine,
      lowMemory: options.lowMemory ?? false,
      ...(options.onLoad ? { onLoad: options.onLoad } : {}),
    });
    return { ...model, device, [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose]() };
  } catch (error) {
    await engine[Symbol.asyncDispose]();
    throw error;
  }
}

async function chooseDevice(wanted: BrowserDevice | "auto"): Promise<DeviceReport> {
  const devices = await listBrowserDevices();
  const fits = (d: DeviceReport): boolean =>
    d.available && (wanted === "auto" ? d.name === "wasm" || !d.software : d.name === wanted);
  const chosen = devices.find(fits);
  if (chosen) return chosen;
  const reason = devices.find((d) => d.name === wanted)?.reason ?? "no such device";
  throw new TintypeError("device", `${wanted} cannot be used in this page: ${reason}`);
}

async function open(source: BrowserModelSource): Promise<ByteSource | Folder> {
  if (typeof source === "string") {
    const platform = browserPlatform();
    const isFile = /\.(safetensors|ckpt|pt)$/i.test(new URL(source, location.href).pathname);
    const url = new URL(source, location.href).href;
    return isFile ? await platform.openFile(url) : await platform.openFolder(url);
  }
  if (source instanceof File) return blobSource(source, source.name);
  if (source instanceof FileList) return fileListFolder(source);
  return source;
}
