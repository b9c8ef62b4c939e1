import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { nodePlatform } from "../../src/platform/node/platform.js";
import type { Platform } from "../../src/platform/types.js";
import { listDevices, pickDevice } from "../../src/runtime/node/devices.js";
import { findAdapter, useAdapter } from "./adapters.js";

const adapter = findAdapter();
let platform: Platform;
beforeAll(async () => {
  const cache = await mkdtemp(join(tmpdir(), "tintype-devices-"));
  platform = nodePlatform({ ...process.env, TINTYPE_CACHE: cache });
});
afterAll(() => rm(platform.cacheDir, { recursive: true }));

const withDrivers = async <T>(files: string, act: () => Promise<T>): Promise<T> => {
  const before = [process.env.VK_DRIVER_FILES, process.env.VK_ICD_FILENAMES];
  useAdapter({ name: "", driver: files, halfPrecision: false });
  try {
    return await act();
  } finally {
    const [driver, icd] = before;
    if (driver === undefined) delete process.env.VK_DRIVER_FILES;
    else process.env.VK_DRIVER_FILES = driver;
    if (icd === undefined) delete process.env.VK_ICD_FILENAMES;
    else process.env.VK_ICD_FILENAMES = icd;
  }
};

test("without a driver, everything else is listed, and WebGPU with what to do", async () => {
  const devices = await withDrivers("/nowhere.json", () => listDevices({ platform }));
  expect(devices.map((d) => d.name)).toEqual(["cpu", "webgpu", "cuda", "coreml", "dml", "wasm"]);
  for (const { available, detail, reason } of devices) {
    expect(available ? detail : reason).not.toBe("");
  }
  const webgpu = devices.find((d) => d.name === "webgpu")!;
  if (process.platform === "linux") {
    expect(webgpu.reason).toContain("No GPU was found: no driver offers one. Install");
  }
  await expect(
    withDrivers("/nowhere.json", () => pickDevice("webgpu", { platform })),
  ).rejects.toThrow("--device webgpu is not available: No GPU was found");
});

describe.skipIf(adapter === undefined)("a software adapter", () => {
  test("is found out, forced but never picked, and remembered", async () => {
    const found = await withDrivers(adapter!.driver, () => pickDevice("webgpu", { platform }));
    expect(found.device).toMatchObject({ available: true, software: true });
    expect(found.device.compute).toEqual(adapter!.halfPrecision ? ["f32", "f16"] : ["f32"]);
    const remembered = await readdir(join(platform.cacheDir, "devices"));
    const start = performance.now();
    await withDrivers(adapter!.driver, () => pickDevice("webgpu", { platform }));
    expect(performance.now() - start).toBeLessThan(500);
    expect(await readdir(join(platform.cacheDir, "devices"))).toEqual(remembered);

    const auto = await withDrivers(adapter!.driver, () => pickDevice("auto", { platform }));
    expect(auto.device.name).not.toBe("webgpu");
    expect(auto.why).toContain("no working GPU");
  });
});
