import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** How a process ended; code null: it was killed. */
export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** What happens to a process. */
export interface Fate {
  /** Killed so many milliseconds after it began to write. */
  readonly killAfter?: number | undefined;
  /** Killed once this is settled. */
  readonly killWhen?: Promise<unknown> | undefined;
  /** Called with all that it has written to standard error, after each piece. */
  readonly onError?: ((err: string, child: ChildProcess) => void) | undefined;
  /** KiB that a file of it may have, as `ulimit -f` of bash counts. */
  readonly largestFile?: number | undefined;
}

/** Runs a TypeScript program of this repository with Node.js. */
export function runProcess(
  path: string,
  args: readonly string[],
  { killAfter, killWhen, largestFile, onError }: Fate = {},
): Promise<Ended> {
  const script = fileURLToPath(new URL(`../../${path}`, import.meta.url));
  const command = [process.execPath, "--import", "tsx", script, ...args];
  const limited = ["bash", "-c", `ulimit -f ${largestFile}; exec "$@"`, "bash", ...command];
  const [file, ...rest] = largestFile === undefined ? command : limited;
  const child = spawn(file!, rest, { stdio: ["ignore", "pipe", "pipe"] });
  let [out, err] = ["", ""];
  let timer: NodeJS.Timeout | undefined;
  const began = (): void => {
    if (killAfter !== undefined) timer ??= setTimeout(() => child.kill("SIGKILL"), killAfter);
  };
  child.stdout.on("data", (chunk: Buffer) => {
    began();
    out += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    began();
    err += chunk.toString();
    onError?.(err, child);
  });
  void killWhen?.then(() => child.kill("SIGKILL"));
  return new Promise((done) =>
    child.once("close", (code) => {
      clearTimeout(timer);
      done({ code, out, err });
    }),
  );
}

/** Numbers in [0, 1) that look random, the same each time. */
export function lottery(seed: number): () => number {
  let x = seed;
  return () => {
    x = (1664525 * x + 1013904223) >>> 0;
    return x / 2 ** 32;
  };
}
