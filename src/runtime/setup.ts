import type { ComputeType } from "../onnx/builder.js";
import type { LoweringRules } from "../onnx/rules.js";
import type { WeightLayout } from "../tensor/blocks.js";
import type { BlockedSetup } from "./blocks.js";
import type { ProgramCache } from "./cache/programs.js";
import type { Client } from "./client.js";

/** Where graphs can be run. */
export type DeviceName = "cpu" | "webgpu" | "cuda" | "coreml" | "dml" | "wasm";

/** How a device trains. */
export interface TrainingSetup {
  readonly rules: LoweringRules;
  /** Whether runs write their outputs into arrays that are handed over. */
  readonly fillsOutputs: boolean;
  /** The layout of parameters of a shape; row-major where it is undefined. */
  readonly layoutOf?: (shape: readonly number[]) => WeightLayout | undefined;
}

/** How one device is driven. */
export interface DeviceSetup {
  readonly name: DeviceName;
  /** ONNX Runtime's name of the execution provider. */
  readonly provider: string;
  readonly rules: LoweringRules;
  readonly compute: ComputeType;
  readonly threads: number | undefined;
  /** Whether the engine reads weights from files itself, by path and offset. */
  readonly mapsFiles: boolean;
  /** Whether results can stay where the next program takes them. */
  readonly keepsResults?: boolean;
  /** Bytes that one buffer may have; beyond it some kernels answer zeros. */
  readonly bufferBytes?: number | undefined;
  /** Session configuration entries. */
  readonly config: Readonly<Record<string, string>>;
  /** Compiled programs on disk; undefined where they cannot be kept. */
  readonly cache: ProgramCache | undefined;
  /** Programs over weights in blocks, found out once by asking the worker. */
  readonly blocks?: (client: Client) => Promise<BlockedSetup | undefined>;
  /** How it trains, found out once by asking the worker; undefined where it cannot. */
  readonly training?: (client: Client) => Promise<TrainingSetup>;
}
