import type { ComputeType } from "../onnx/builder.js";
import { CPU_RULES } from "../onnx/cpu.js";
import type { LoweringRules } from "../onnx/rules.js";
import { WEBGPU_BASELINE, webGpuRules } from "../onnx/webgpu.js";
import { cpuBlocks } from "./blocks.js";
import type { ProgramCache } from "./cache/programs.js";
import type { DeviceName, DeviceSetup } from "./setup.js";
import { cpuTraining, wasmTraining } from "./trainingSetup.js";

/** What a caller may choose about a device. */
export interface SetupOptions {
  readonly compute?: ComputeType | undefined;
  readonly threads?: number | undefined;
  /** Whether idle threads of the CPU wait by spinning; the engine decides by default. */
  readonly spinning?: boolean | undefined;
  readonly cache?: ProgramCache | undefined;
  /** Bytes that one buffer of the device may have, where that is known. */
  readonly bufferBytes?: number | undefined;
}

/** How each device is driven: its provider in ONNX Runtime, its operators, what it may not do. */
export function deviceSetup(
  name: DeviceName,
  { compute = "f32", threads, spinning, cache, bufferBytes }: SetupOptions = {},
): DeviceSetup {
  const config: Readonly<Record<string, string>> =
    spinning === undefined ? {} : { "session.intra_op.allow_spinning": spinning ? "1" : "0" };
  const common = { name, provider: name, compute, threads, config, cache: undefined };
  switch (name) {
    case "cpu":
      return {
        ...common,
        rules: CPU_RULES,
        mapsFiles: true,
        cache,
        blocks: cpuBlocks,
        training: cpuTraining,
      };
    case "wasm":
      return { ...common, rules: CPU_RULES, mapsFiles: false, training: wasmTraining };
    case "webgpu":
      return {
        ...common,
        rules: gpuRules(bufferBytes ?? WEBGPU_BASELINE.bindingBytes),
        mapsFiles: true,
        keepsResults: true,
        bufferBytes: bufferBytes ?? WEBGPU_BASELINE.bindingBytes,
        // What the GPU cannot do must fail here, not crawl on the CPU in silence.
        config: { "session.disable_cpu_ep_fallback": "1" },
      };
    case "cuda":
    case "coreml":
    case "dml":
      return { ...common, rules: gpuRules(bufferBytes ?? 2 ** 31), mapsFiles: true, bufferBytes };
  }
}

const gpuRules = (bindingBytes: number): LoweringRules =>
  webGpuRules({ ...WEBGPU_BASELINE, bindingBytes });
