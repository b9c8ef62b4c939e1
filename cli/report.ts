import { inspect } from "node:util";
import { CommanderError } from "commander";
import { TintypeError } from "../src/util/errors.js";
import { eachLine } from "../src/util/oneLine.js";
import type { Terminal } from "./terminal.js";

/** What the process says when it ends. */
export const EXIT = { ok: 0, bug: 1, refused: 2, stopped: 130 } as const;

/** Tells of an error of `command` in one line, and gives the exit code for it. */
export function report(thrown: unknown, { err, debug }: Terminal, command = "tintype"): number {
  const error = firstOf(thrown);
  if (error instanceof CommanderError) return reportUsage(error, err, command);
  if (debug) err(`${inspect(thrown)}\n`);
  if (!(error instanceof TintypeError)) {
    const message = error instanceof Error ? error.message : String(error);
    err(`tintype: ${eachLine(message)}\ntintype: this is a bug in Tintype. `);
    err(debug ? "Please report it.\n" : "Please report it with what TINTYPE_DEBUG=1 prints.\n");
    return EXIT.bug;
  }
  if (error.code === "aborted") {
    err("tintype: stopped.\n");
    return EXIT.stopped;
  }
  err(`tintype: ${eachLine(error.message)}\n`);
  return EXIT.refused;
}

/** The error that came first, where others came while things were put away after it. */
function firstOf(error: unknown): unknown {
  const isSuppressed = error instanceof Error && error.name === "SuppressedError";
  return isSuppressed && "suppressed" in error ? firstOf(error.suppressed) : error;
}

const ADVICE: Readonly<Record<string, string>> = {
  "commander.unknownCommand": 'To make a picture: tintype generate "a prompt".',
};

/** Help and --version end like this too. */
function reportUsage(error: CommanderError, err: Terminal["err"], command: string): number {
  if (error.exitCode === 0) return EXIT.ok;
  if (error.code === "commander.help") return EXIT.refused; // no command: the help is the answer
  const [first = "", guess] = error.message.replace(/^error: /, "").split("\n");
  const sentence = first.replaceAll("'", '"').replace(/\.?$/, ".");
  const unquoted = error.code === "commander.excessArguments" && first.includes("generate");
  const more = unquoted
    ? "Put the prompt between quotes."
    : (guess?.replace(/^\((.*)\)$/, "$1") ?? ADVICE[error.code] ?? `See ${command} --help.`);
  err(`tintype: ${sentence} ${more}\n`);
  return EXIT.refused;
}
