import { runNodeChild } from "../../platform/node/child.js";
import {
  engineFolder,
  gpuVendors,
  graphicsFingerprint,
  hasCudaProvider,
  isInstalled,
} from "../../platform/node/graphics.js";
import { processorName } from "../../platform/node/processor.js";
import type { Platform } from "../../platform/types.js";
import { readJson } from "../../util/bytes.js";
import { VERSION } from "../../util/version.js";
import {
  AUTO_ORDER,
  chooseDevice,
  type DeviceChoice,
  type DeviceReport,
  type DeviceWish,
} from "../devices.js";
import type { DeviceName } from "../engine.js";
import type { ProbeFindings } from "../probe.js";
import { ENGINE_VERSION } from "./engine.js";

/** How devices are looked for. */
export interface FindOptions {
  readonly platform: Platform;
  /** Probes again even where a verdict is remembered. */
  readonly fresh?: boolean;
}

/** A driver that takes longer than this to start, compile and answer is no use. */
const PROBE_TIMEOUT = 60_000;

/** Largest relative errors of a device that is right. */
const TRUSTED = { f32: 1e-3, f16: 2e-2 };

const ALL: readonly DeviceName[] = ["cpu", "webgpu", "cuda", "coreml", "dml", "wasm"];

/** Every device, whether it works here, and why not. GPUs are tried in a process of their own. */
export async function listDevices(options: FindOptions): Promise<DeviceReport[]> {
  const reports: DeviceReport[] = [];
  for (const name of ALL) reports.push(await report(name, options)); // one at a time: they are timed
  return reports;
}

/** Finds the device to run on; "auto" is a working real GPU, otherwise the CPU. Throws "device". */
export async function pickDevice(wish: DeviceWish, options: FindOptions): Promise<DeviceChoice> {
  if (wish !== "auto") {
    const asked = await report(wish, options);
    return chooseDevice(
      wish,
      asked.available ? [asked] : [asked, ...(await others(wish, options))],
    );
  }
  const reports = [await report("cpu", options), await report("wasm", options)];
  // Where the bus has no GPU there is nothing to try, and no time to lose.
  if (gpuVendors()?.length !== 0) {
    for (const name of AUTO_ORDER) reports.push(await report(name, options));
  }
  return chooseDevice("auto", reports);
}

/** What else there is, without trying any GPU again. */
async function others(wish: DeviceName, options: FindOptions): Promise<DeviceReport[]> {
  const quick = (["cpu", "wasm"] as const).filter((name) => name !== wish);
  return await Promise.all(quick.map((name) => report(name, options)));
}

async function report(name: DeviceName, options: FindOptions): Promise<DeviceReport> {
  const reason = missing(name);
  if (reason !== undefined) return { name, available: false, detail: "", reason };
  if (name === "cpu") return { name, available: true, detail: processorName() };
  if (name === "wasm") {
    return { name, available: true, detail: "WebAssembly on one thread of the CPU, slow" };
  }
  return verdict(name, await findings(name, options));
}

/** Why a device cannot be tried at all; undefined where it can. */
function missing(name: DeviceName): string | undefined {
  const system = `${process.platform}-${process.arch}`;
  if (name === "wasm") {
    return isInstalled("onnxruntime-web") ? undefined : "Install the package onnxruntime-web.";
  }
  if (engineFolder() === undefined) {
    return `The package onnxruntime-node is not installed, or has no library for ${system}.`;
  }
  if (name === "coreml" && process.platform !== "darwin") return "CoreML is part of macOS alone.";
  if (name === "dml" && process.platform !== "win32") return "DirectML is part of Windows alone.";
  if (name === "webgpu" && system === "linux-arm64") {
    return "onnxruntime-node has no WebGPU for linux-arm64.";
  }
  if (name === "cuda" && system !== "linux-x64") {
    return `onnxruntime-node has CUDA for linux-x64 alone, not for ${system}.`;
  }
  if (name === "cuda" && !hasCudaProvider()) {
    return (
      "ONNX Runtime's CUDA libraries are not installed. With CUDA 12 and cuDNN 9 on the machine, run: " +
      "node node_modules/onnxruntime-node/script/install.js --onnxruntime-node-install " +
      "(it downloads them from NuGet)."
    );
  }
  return undefined;
}

/** What findings amount to. */
function verdict(name: DeviceName, found: ProbeFindings): DeviceReport {
  const { error, halfError, gigaflops, cpuGigaflops, drivers = [], bufferBytes, trouble } = found;
  if (error === undefined) {
    return { name, available: false, detail: "", reason: inWords(trouble) };
  }
  const speed = gigaflops === undefined ? "" : `${gigaflops.toPrecision(3)} GFLOP/s`;
  if (!(error < TRUSTED.f32)) {
    const reason = `It computes wrongly: a small network was off by ${error.toExponential(1)}.`;
    return { name, available: false, detail: speed, reason };
  }
  const vendors = name === "webgpu" ? gpuVendors() : undefined;
  const slower = gigaflops === undefined || gigaflops < (cpuGigaflops ?? 20);
  const software = name === "webgpu" && (vendors?.length === 0 || slower);
  const what = software && drivers.length > 0 ? drivers : (vendors ?? []);
  return {
    name,
    available: true,
    software,
    detail: [...what, speed, ...(slower ? ["slower than the CPU"] : [])]
      .filter((text) => text !== "")
      .join(", "),
    compute: (halfError ?? 1) < TRUSTED.f16 ? ["f32", "f16"] : ["f32"],
    ...(bufferBytes === undefined ? {} : { bufferBytes }),
    ...(gigaflops === undefined ? {} : { gigaflops }),
  };
}

/** What the engine says when it finds nothing to run on, and how to help it. */
function inWords(trouble = "It did not answer."): string {
  if (/Failed to get a WebGPU adapter/.test(trouble)) {
    return "No GPU was found: no driver offers one. Install the GPU's driver (Vulkan on Linux).";
  }
  return trouble;
}

/** Probes a device, or remembers what came of it when nothing has changed since. */
async function findings(
  name: DeviceName,
  { platform, fresh = false }: FindOptions,
): Promise<ProbeFindings> {
  const hash = platform.hash("sha256");
  const made = [VERSION, ENGINE_VERSION, name, graphicsFingerprint()].join("; ");
  hash.update(new TextEncoder().encode(made));
  const path = `${platform.cacheDir}/devices/${name}-${(await hash.digest()).slice(0, 16)}.json`;
  if (!fresh) {
    const known = await platform.openFile(path).then(readJson, () => undefined);
    if (known !== undefined) return known as ProbeFindings;
  }
  const found = await probe(name);
  const bytes = new TextEncoder().encode(JSON.stringify(found));
  await platform.files.makeFolder(`${platform.cacheDir}/devices`).catch(() => {});
  await platform.files.writeAtomically(path, [bytes]).catch(() => {}); // only slower next time
  return found;
}

async function probe(name: DeviceName): Promise<ProbeFindings> {
  const url = new URL("./probe.js", import.meta.url);
  const { output, end } = await runNodeChild(url, [name], { timeout: PROBE_TIMEOUT });
  const found: ProbeFindings = {};
  for (const line of output.split("\n")) {
    if (line.startsWith("{")) Object.assign(found, JSON.parse(line));
  }
  if (end === "exit") return found;
  const trouble =
    end === "timeout"
      ? `Its driver did not answer within ${PROBE_TIMEOUT / 1000} s.`
      : `It failed: ${end.crash}`;
  return { ...found, trouble };
}
