import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";

/** What a child process left behind. */
export interface ChildResult {
  readonly output: string;
  /** What ended it: nothing, its time limit, or a crash. */
  readonly end: "exit" | "timeout" | { readonly crash: string };
}

/**
 * Runs a module of this package in a process of its own, so that a driver that crashes or hangs
 * takes nothing with it. `url` names the compiled form; from TypeScript sources the source is run.
 */
export function runNodeChild(
  url: URL,
  args: readonly string[],
  { timeout }: { readonly timeout: number },
): Promise<ChildResult> {
  const source = import.meta.url.endsWith(".ts");
  const module = fileURLToPath(source ? url.href.replace(/\.js$/, ".ts") : url);
  const loader = source ? ["--import", import.meta.resolve("tsx")] : [];
  return new Promise((resolve) => {
    const options = { timeout, killSignal: "SIGKILL" as const, maxBuffer: 2 ** 24 };
    execFile(process.execPath, [...loader, module, ...args], options, (error, output, errors) => {
      if (error === null) resolve({ output, end: "exit" });
      else if (error.killed) resolve({ output, end: "timeout" });
      else {
        const last = errors.trim().split("\n").at(-1);
        const crash = error.signal ?? (last === undefined || last === "" ? error.message : last);
        resolve({ output, end: { crash } });
      }
    });
  });
}
