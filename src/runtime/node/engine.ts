import type { ComputeType } from "../../onnx/builder.js";
import { nodeProcessor } from "../../platform/node/processor.js";
import { startNodeWorker } from "../../platform/node/worker.js";
import type { Platform } from "../../platform/types.js";
import { VERSION } from "../../util/version.js";
import { DEFAULT_CACHE_LIMIT } from "../cache/entries.js";
import { programCache } from "../cache/programs.js";
import { connect } from "../client.js";
import { clientPool } from "../clientPool.js";
import { type DeviceName, type Engine, engine } from "../engine.js";
import { deviceSetup } from "../setups.js";

/** Settings of an engine in Node.js. */
export interface NodeEngineOptions {
  readonly platform: Platform;
  readonly device: DeviceName;
  /** Precision of the arithmetic; float32 by default. */
  readonly compute?: ComputeType | undefined;
  /** Threads of the CPU; all physical cores by default. */
  readonly threads?: number | undefined;
  /**
   * Whether idle threads wait by spinning: a little faster on a machine without other work, several
   * times slower on a busy one. By default large programs do and small ones do not.
   */
  readonly spinning?: boolean | undefined;
  /** Bytes that compiled programs may take on disk; 0 keeps none. */
  readonly cacheLimit?: number;
  /** Bytes that one GPU buffer may have, as `listDevices` found out; what all allow by default. */
  readonly bufferBytes?: number | undefined;
}

/** Version of ONNX Runtime that package.json pins: programs compiled by another one are not read. */
export const ENGINE_VERSION = "onnxruntime 1.30.0";

/** Programs that are loaded side by side on the CPU: a text encoder, and a UNet of two. */
const CPU_WORKERS = 3;

/** An engine on this machine, in threads of its own. */
export function nodeEngine({
  platform,
  device,
  compute,
  threads,
  spinning,
  cacheLimit = DEFAULT_CACHE_LIMIT,
  bufferBytes,
}: NodeEngineOptions): Engine {
  const fingerprint = [`tintype ${VERSION}`, ENGINE_VERSION, nodeProcessor()].join("; ");
  const cache =
    cacheLimit > 0
      ? programCache({ platform, limit: cacheLimit, fingerprint, now: Date.now })
      : undefined;
  const module = device === "wasm" ? "./wasmWorker.js" : "./worker.js";
  const start = () => connect(startNodeWorker(new URL(module, import.meta.url)));
  return engine(
    clientPool(start, device === "cpu" ? CPU_WORKERS : 1),
    deviceSetup(device, { compute, threads, spinning, cache, bufferBytes }),
  );
}
