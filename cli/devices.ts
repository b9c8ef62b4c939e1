import { type DeviceReport, listDevices, nodePlatform } from "../src/node.js";
import { snakeCase, table } from "./format.js";
import { progressOn } from "./progress.js";
import type { Terminal } from "./terminal.js";

/** Runs `tintype devices`. */
export async function showDevices(
  { json = false }: { readonly json?: boolean },
  terminal: Terminal,
): Promise<void> {
  using progress = progressOn(terminal);
  if (terminal.live) progress.busy("trying the devices");
  const reports = await listDevices({ platform: nodePlatform() });
  progress.idle();
  const { out } = terminal;
  if (json) return out(`${JSON.stringify(snakeCase(reports))}\n`);
  out(table(reports.map((report) => [report.name, stateOf(report), textOf(report)])));
}

function stateOf({ available, software }: DeviceReport): string {
  if (!available) return "no";
  return software ? "software only" : "yes";
}

function textOf({ detail, reason, compute }: DeviceReport): string {
  const half = compute?.includes("f16") ? "computes in fp16 too" : "";
  return [detail, half, reason ?? ""].filter((text) => text !== "").join(", ");
}
