import type { DeviceName } from "../src/runtime/engine.js";
import { table } from "./format.js";
import type { Terminal } from "./terminal.js";

/** What `tintype devices` tells of one device. */
interface Row {
  readonly name: DeviceName;
  readonly available: boolean;
  readonly detail: string;
}

/** Runs `tintype devices`. */
export async function showDevices(
  { json = false }: { readonly json?: boolean },
  { out }: Terminal,
): Promise<void> {
  const rows: readonly Row[] = [{ name: "cpu", available: true, detail: "always here" }];
  if (json) return out(`${JSON.stringify(rows)}\n`);
  out(table(rows.map((row) => [row.name, row.available ? "yes" : "no", row.detail])));
}

/** The device that `--device` means. */
export async function deviceFor(name: DeviceName | "auto"): Promise<DeviceName> {
  return name === "auto" ? "cpu" : name;
}
