import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { arch, availableParallelism, cpus, platform } from "node:os";

/** What this processor is and can do, as one line: prepacked weights depend on it. */
export function nodeProcessor(): string {
  const model = cpus()[0]?.model ?? "unknown";
  return `${platform()} ${arch()} ${model} ${instructionSets()}`;
}

/** The processor's name, for people. */
export function processorName(): string {
  return `${cpus()[0]?.model.trim() ?? arch()}, ${availableParallelism()} threads`;
}

/** A digest of the instruction sets that Linux lists; model names alone do not tell them. */
function instructionSets(): string {
  try {
    const flags = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"));
    return createHash("sha256")
      .update(flags?.[1] ?? "")
      .digest("hex")
      .slice(0, 16);
  } catch {
    return ""; // not Linux: there the model name is specific
  }
}
