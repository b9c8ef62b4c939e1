import { softwareDrivers } from "../../platform/node/graphics.js";
import { nodePlatform } from "../../platform/node/platform.js";
import type { DeviceName, Engine } from "../engine.js";
import { largestBuffer, matmulSpeed, type ProbeFindings, probeError } from "../probe.js";
import { type NodeEngineOptions, nodeEngine } from "./engine.js";

/*
 * Runs in a process of its own and prints what it finds, a line of JSON at a time, so that what was
 * found before a crash is known. Argument: the device.
 */

const device = process.argv[2] as DeviceName;
const platform = nodePlatform();

function say(findings: ProbeFindings): void {
  process.stdout.write(`${JSON.stringify(findings)}\n`);
}

async function withEngine<T>(
  options: Partial<NodeEngineOptions>,
  act: (engine: Engine) => Promise<T>,
): Promise<T> {
  await using engine = nodeEngine({ platform, device, cacheLimit: 0, ...options });
  return await act(engine);
}

/** Below this a device is no GPU, and what follows would take minutes. */
const SLOW = 20;

async function probe(): Promise<void> {
  const error = await withEngine({}, probeError);
  say({ error, drivers: softwareDrivers() });
  const gigaflops = await withEngine({}, matmulSpeed);
  say({ gigaflops });
  if (device !== "cpu") {
    if (gigaflops > SLOW) say({ cpuGigaflops: await withEngine({ device: "cpu" }, matmulSpeed) });
    const half = await withEngine({ compute: "f16" }, probeError).catch(() => 1);
    say({ halfError: half });
    if (device === "webgpu" && gigaflops > SLOW) {
      const bufferBytes = Number.POSITIVE_INFINITY;
      await withEngine({ bufferBytes }, (e) => largestBuffer(e, (n) => say({ bufferBytes: n })));
    }
  }
}

try {
  await probe();
} catch (error) {
  say({ trouble: error instanceof Error ? error.message : String(error) });
}
process.exit(0); // what hangs in a driver must not keep the process
