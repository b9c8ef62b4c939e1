import { arch, cpus, loadavg, platform, totalmem } from "node:os";
import type { Machine } from "../../src/benchmark/results.js";
import { counted } from "../../src/util/counted.js";

/** The machine that this runs on. */
export function thisMachine(): Machine {
  const all = cpus();
  return {
    processor: all[0]?.model.trim() ?? arch(),
    cores: all.length,
    memoryBytes: totalmem(),
    system: `${platform()} ${arch()}, Node.js ${process.versions.node}`,
    load: Number((loadavg()[0] ?? 0).toFixed(2)),
  };
}

/** A sentence for machines that have something else to do; undefined on quiet ones. */
export function busyNotice({ load, cores }: Pick<Machine, "load" | "cores">): string | undefined {
  if (load < cores / 4) return undefined;
  return (
    `This machine is busy (load ${load.toFixed(1)} on ${counted(cores, "core")}): times will be long and vary. ` +
    "Ratios of contestants that took turns still say something."
  );
}
