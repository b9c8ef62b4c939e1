import type { DeviceReport } from "../devices.js";

/** What this page may run on: WebGPU if the browser offers an adapter, and WebAssembly. */
export async function listBrowserDevices(): Promise<DeviceReport[]> {
  return [await webGpu(), webAssembly()];
}

function webAssembly(): DeviceReport {
  const threads = crossOriginIsolated ? "several threads" : "one thread";
  return { name: "wasm", available: true, detail: `WebAssembly, ${threads}` };
}

async function webGpu(): Promise<DeviceReport> {
  const absent = (reason: string): DeviceReport => ({
    name: "webgpu",
    available: false,
    detail: "",
    reason,
  });
  if (!("gpu" in navigator)) {
    return absent("This browser has no WebGPU, or the page is not served over HTTPS.");
  }
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (adapter === null) return absent("The browser has WebGPU, but found no GPU that it trusts.");
  const { info, limits, features } = adapter;
  const name = [info.vendor, info.architecture, info.device, info.description].join(" ").trim();
  return {
    name: "webgpu",
    available: true,
    software: info.isFallbackAdapter || /swiftshader|llvmpipe|basic render/i.test(name),
    detail: name,
    compute: features.has("shader-f16") ? ["f32", "f16"] : ["f32"],
    bufferBytes: limits.maxStorageBufferBindingSize,
  };
}
