import { CPU_RULES } from "../../onnx/cpu.js";
import { nodeProcessor } from "../../platform/node/processor.js";
import { startNodeWorker } from "../../platform/node/worker.js";
import type { Platform } from "../../platform/types.js";
import { VERSION } from "../../util/version.js";
import { DEFAULT_CACHE_LIMIT, programCache } from "../cache.js";
import { connect } from "../client.js";
import { type DeviceName, type DeviceSetup, type Engine, engine } from "../engine.js";

/** Settings of an engine in Node.js. */
export interface NodeEngineOptions {
  readonly platform: Platform;
  readonly device: DeviceName;
  /** Threads of the CPU; all physical cores by default. */
  readonly threads?: number | undefined;
  /** Bytes that compiled programs may take on disk; 0 keeps none. */
  readonly cacheLimit?: number;
}

/** Version of ONNX Runtime that package.json pins: programs compiled by another one are not read. */
const ENGINE_VERSION = "onnxruntime 1.30.0";

/** An engine on this machine, in a thread of its own. */
export function nodeEngine({
  platform,
  device,
  threads,
  cacheLimit = DEFAULT_CACHE_LIMIT,
}: NodeEngineOptions): Engine {
  const fingerprint = [`tintype ${VERSION}`, ENGINE_VERSION, nodeProcessor()].join("; ");
  const cache =
    cacheLimit > 0
      ? programCache({ platform, limit: cacheLimit, fingerprint, now: Date.now })
      : undefined;
  const worker = startNodeWorker(new URL("./worker.js", import.meta.url));
  const setup: DeviceSetup = {
    name: device,
    provider: device,
    rules: CPU_RULES,
    compute: "f32",
    threads,
    config: {},
    cache,
  };
  return engine(connect(worker), setup);
}
