import type { ComputeType } from "../onnx/builder.js";
import { TintypeError } from "../util/errors.js";
import type { DeviceName } from "./engine.js";

/** One place where graphs could be run, and what was found out about it. */
export interface DeviceReport {
  readonly name: DeviceName;
  readonly available: boolean;
  /** What it is, in words: the processor, the driver, how fast a matrix product was. */
  readonly detail: string;
  /** Why it is not available, and what to do about it. */
  readonly reason?: string;
  /** Whether it only imitates a GPU: `auto` never picks that. */
  readonly software?: boolean;
  /** Precisions that gave right answers. */
  readonly compute?: readonly ComputeType[];
  /** Bytes that one buffer may have. */
  readonly bufferBytes?: number;
  /** Speed of a matrix product, 10^9 operations a second. */
  readonly gigaflops?: number;
}

/** A device, and why it was picked. */
export interface DeviceChoice {
  readonly device: DeviceReport;
  readonly why: string;
}

export type DeviceWish = DeviceName | "auto";

/** Every name that `--device` knows. */
export const DEVICE_NAMES: readonly DeviceWish[] = [
  "auto",
  "cpu",
  "webgpu",
  "cuda",
  "coreml",
  "dml",
  "wasm",
];

/** GPUs that `auto` tries, best first. CoreML's compiler wants fixed sizes, so it must be asked for. */
export const AUTO_ORDER: readonly DeviceName[] = ["cuda", "webgpu", "dml"];

/**
 * Picks the device to run on: the one that is asked for, or with "auto" the first real GPU that
 * works, otherwise the CPU. Throws "device" when the one that is asked for is not there.
 */
export function chooseDevice(wish: DeviceWish, reports: readonly DeviceReport[]): DeviceChoice {
  const report = (name: DeviceName): DeviceReport | undefined =>
    reports.find((r) => r.name === name);
  if (wish !== "auto") {
    const device = report(wish);
    if (device?.available) return { device, why: "asked for" };
    const have = reports.filter((r) => r.available).map((r) => r.name);
    throw new TintypeError(
      "device",
      `--device ${wish} is not available: ${device?.reason ?? "it is unknown here."} ` +
        `Available: ${have.join(", ")}.`,
    );
  }
  const passed: string[] = [];
  for (const name of AUTO_ORDER) {
    const device = report(name);
    if (device?.available && !device.software) return { device, why: "a working GPU" };
    if (device?.software) passed.push(`${name} is only software (${device.detail})`);
  }
  const cpu = report("cpu") ?? report("wasm");
  if (cpu === undefined) throw new TintypeError("device", "no device was found, not even a CPU");
  return { device: cpu, why: ["no working GPU", ...passed].join("; ") };
}
