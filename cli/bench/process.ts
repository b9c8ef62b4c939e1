import { type ChildProcessByStdio, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { TintypeError, throwIfAborted } from "../../src/util/errors.js";

/** How to start a program. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  /** Added to this process' environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** How a process ended. */
export interface Ended {
  /** 0: well. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Milliseconds since it was started. */
  readonly milliseconds: number;
  /** Both outputs, as far as they were kept. */
  readonly output: string;
  /** Bytes that it held at most; undefined where the system does not say. */
  readonly peakBytes: number | undefined;
}

/** A process under measurement. */
export interface Measured {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Milliseconds since it was started. */
  age(): number;
  /** Throws "io" where it could not be started. */
  readonly ended: Promise<Ended>;
  stop(): void;
}

/** How memory is measured here, for people. */
export const MEMORY_SOURCE: string =
  process.platform === "linux"
    ? "VmHWM of the process, watched from outside"
    : "resourceUsage().maxRSS or getrusage() of the process itself; stable-diffusion.cpp is not measured";

/** Bytes that a process has held at most: VmHWM, which Linux alone tells. */
export function peakMemoryOf(pid: number | "self"): number | undefined {
  if (process.platform !== "linux") return undefined;
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
    return kibibytes === undefined ? undefined : 1024 * Number(kibibytes);
  } catch {
    return undefined; // it has ended
  }
}

/** Bytes that this process has held at most. */
export function ownPeakMemory(): number {
  return peakMemoryOf("self") ?? 1024 * process.resourceUsage().maxRSS;
}

/** What a module of this command is started as; `url` names its compiled form. */
export function nodeCommand(url: URL, args: readonly string[] = []): Command {
  const isSource = import.meta.url.endsWith(".ts");
  const module = fileURLToPath(isSource ? url.href.replace(/\.js$/, ".ts") : url);
  const loader = isSource ? ["--import", import.meta.resolve("tsx")] : [];
  return { file: process.execPath, args: [...loader, module, ...args] };
}

const WATCH_MS = 20;
/** Characters that are kept of what a process prints. */
const KEPT = 1 << 20;

/** Starts a process, which ends when `signal` is aborted or this process does. Throws "aborted". */
export function startProcess(command: Command, signal?: AbortSignal): Measured {
  throwIfAborted(signal);
  const started = performance.now();
  const { file, args, env } = command;
  const options = { env: { ...process.env, ...env }, stdio: "pipe" as const };
  const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(file, args, options);
  const stop = (): void => void child.kill("SIGKILL");
  signal?.addEventListener("abort", stop);
  process.once("exit", stop);
  let [output, peakBytes]: [string, number | undefined] = ["", undefined];
  const keep = (text: string): void => {
    output = (output + text).slice(-KEPT);
  };
  child.stdout.setEncoding("utf8").on("data", keep);
  child.stderr.setEncoding("utf8").on("data", keep);
  child.stdin.on("error", () => {}); // it has ended, which is told by its end
  const watch = setInterval(() => {
    if (child.pid !== undefined) peakBytes = peakMemoryOf(child.pid) ?? peakBytes;
  }, WATCH_MS);
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once("error", (cause) => reject(unstartable(file, cause)));
    child.once("close", (code, how) => {
      resolve({ code, signal: how, milliseconds: performance.now() - started, output, peakBytes });
    });
  }).finally(() => {
    clearInterval(watch);
    signal?.removeEventListener("abort", stop);
    process.removeListener("exit", stop);
  });
  ended.catch(() => {}); // whoever waits for it is told
  const { stdin, stdout } = child;
  return { stdin, stdout, age: () => performance.now() - started, ended, stop };
}

function unstartable(file: string, cause: NodeJS.ErrnoException): TintypeError {
  const why = cause.code === "ENOENT" ? "there is no such program" : cause.message;
  return new TintypeError("io", `${file} could not be started: ${why}. Name another path.`, {
    cause,
  });
}

/** How a process that failed ended, in a few words. */
export function endOf({ code, signal, output }: Pick<Ended, "code" | "signal" | "output">): string {
  const lines = output.split(/[\r\n]+/).map((line) => line.trim());
  const said =
    lines.findLast((line) => /error\b/i.test(line)) ?? lines.findLast((line) => line !== "");
  const how = signal === null ? `it ended with code ${code}` : `it was ended by ${signal}`;
  const memory = signal === "SIGKILL" ? " (memory may have run out)" : "";
  return `${how}${memory}${said === undefined ? "" : `, and said: ${said.slice(0, 300)}`}`;
}
