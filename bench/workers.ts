import { spawn } from "node:child_process";
import { arch, cpus, totalmem } from "node:os";
import { resolve } from "node:path";
import { createInterface } from "node:readline";

/** A program under measurement, in a process of its own. */
export interface BenchWorker {
  readonly name: string;
  ask(request: Readonly<Record<string, unknown>>): Promise<number>;
  stop(): void;
}

function worker(name: string, command: string, args: readonly string[]): BenchWorker {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    name,
    async ask(request) {
      child.stdin.write(`${JSON.stringify(request)}\n`);
      const { value, done } = await lines.next();
      if (done) throw new Error(`${name} ended while it was asked ${JSON.stringify(request)}`);
      return (JSON.parse(value as string) as { value: number }).value;
    },
    stop: () => void child.kill(),
  };
}

const here = (file: string): string => resolve(import.meta.dirname, file);

/** Tintype's trainers from their sources. */
export function trainingWorker(): BenchWorker {
  return worker("tintype", process.execPath, ["--import", "tsx", here("trainingWorker.ts")]);
}

/** PyTorch training, in a Python that has diffusers. */
export function torchTrainingWorker(python: string): BenchWorker {
  return worker("pytorch", python, [here("trainingWorker.py")]);
}

/** What the numbers were measured on. */
export function machine(): Readonly<Record<string, unknown>> {
  const memory = Math.round(totalmem() / 2 ** 30);
  return { processor: cpus()[0]?.model, cores: cpus().length, arch: arch(), memoryGiB: memory };
}
