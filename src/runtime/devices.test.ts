import { expect, test } from "vitest";
import { chooseDevice, type DeviceReport } from "./devices.js";

const cpu: DeviceReport = { name: "cpu", available: true, detail: "4 threads" };
const webgpu: DeviceReport = { name: "webgpu", available: true, detail: "a GPU" };
const cuda: DeviceReport = { name: "cuda", available: false, detail: "", reason: "Not installed." };

test("auto takes a working GPU, the best first", () => {
  expect(chooseDevice("auto", [cpu, webgpu, cuda])).toEqual({
    device: webgpu,
    why: "a working GPU",
  });
  const there = { ...cuda, available: true };
  expect(chooseDevice("auto", [cpu, webgpu, there]).device).toBe(there);
});

test("auto never takes a software adapter, but who asks for it gets it", () => {
  const software = { ...webgpu, software: true, detail: "llvmpipe" };
  expect(chooseDevice("auto", [cpu, software, cuda])).toEqual({
    device: cpu,
    why: "no working GPU; webgpu is only software (llvmpipe)",
  });
  expect(chooseDevice("webgpu", [cpu, software]).device).toBe(software);
});

test("a device that is asked for and not there says why, and what is there", () => {
  expect(() => chooseDevice("cuda", [cpu, webgpu, cuda])).toThrow(
    "--device cuda is not available: Not installed. Available: cpu, webgpu.",
  );
});
