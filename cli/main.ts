#!/usr/bin/env node
import { runCli } from "./program.js";
import { processTerminal } from "./terminal.js";

const stop = new AbortController();

// Once: the next Ctrl-C finds the system's own handler, which ends the process at once.
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => stop.abort(new Error(signal)));
}

process.exitCode = await runCli(process.argv.slice(2), processTerminal(stop.signal));
