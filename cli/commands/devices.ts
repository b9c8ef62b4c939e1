import type { Command } from "commander";
import type { Terminal } from "../terminal.js";

/** Adds `tintype devices`. */
export function addDevices(program: Command, terminal: Terminal): void {
  program
    .command("devices")
    .summary("list where models can run here")
    .description("Lists the devices that --device takes, and why one is not to be had here.")
    .option("--json", "print one JSON array")
    .action(async (options: { readonly json?: boolean }) => {
      const { showDevices } = await import("../devices.js");
      await showDevices(options, terminal);
    });
}
