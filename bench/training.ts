/**
 * Training steps beside PyTorch: the same networks, batches and optimizer (AdamW) in float32 on the
 * same threads, one at a time, taking turns. Prints samples a second and their ratio, and writes
 * bench/results/training.json.
 * Run: npx tsx bench/training.ts [--python PYTHON] [--config bench/training.json] [--rounds 10]
 *      [--model diffusion|autoencoder] [--threads N] [--spinning]
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { median } from "../src/benchmark/statistics.js";
import { pythonBench, readTrainingBench } from "./trainingModels.js";
import { type BenchWorker, machine, torchTrainingWorker, trainingWorker } from "./workers.js";

const { values } = parseArgs({
  options: {
    python: { type: "string" },
    config: { type: "string", default: resolve(import.meta.dirname, "training.json") },
    rounds: { type: "string", default: "10" },
    model: { type: "string" },
    threads: { type: "string", default: `${cpus().length}` },
    spinning: { type: "boolean", default: false },
  },
});
const [rounds, threads] = [Number(values.rounds), Number(values.threads)];
const bench = readTrainingBench(values.config);
const models = (["diffusion", "autoencoder"] as const).filter((m) => (values.model ?? m) === m);

/** Seconds of each step, by engine. */
type Samples = Record<string, number[]>;

async function measure(model: "diffusion" | "autoencoder"): Promise<Record<string, unknown>> {
  const workers: BenchWorker[] = [trainingWorker()];
  if (values.python !== undefined) workers.push(torchTrainingWorker(values.python));
  const { config, spinning } = values;
  const request = { do: "load", model, threads, spinning, config, python: pythonBench(bench) };
  const samples: Samples = {};
  const memory: Record<string, number> = {};
  for (const worker of workers) {
    await worker.ask(request);
    await worker.ask({ do: "step" }); // compiles and warms up, not counted
    samples[worker.name] = [];
  }
  for (let round = 0; round < rounds; round++) {
    for (const worker of workers) {
      const seconds = await worker.ask({ do: "step" });
      samples[worker.name]!.push(seconds);
      process.stderr.write(`${model} ${worker.name} ${seconds.toFixed(3)} s\n`);
    }
  }
  for (const worker of workers) {
    memory[worker.name] = await worker.ask({ do: "memory" });
    worker.stop();
  }
  const { batchSize } = bench[model];
  const of = (pick: (all: readonly number[]) => number): Record<string, number> =>
    Object.fromEntries(Object.entries(samples).map(([name, all]) => [name, batchSize / pick(all)]));
  return { samplesPerSecond: of(median), best: of((all) => Math.min(...all)), memory, samples };
}

const results: Record<string, Record<string, unknown>> = {};
for (const model of models) {
  const result = await measure(model);
  results[model] = result;
  for (const kind of ["samplesPerSecond", "best"] as const) {
    const speeds = result[kind] as Record<string, number>;
    const shown = Object.entries(speeds).map(([name, s]) => `${name} ${s.toFixed(2)}/s`);
    const { tintype, pytorch } = speeds;
    const ratio = pytorch === undefined ? "" : `, ratio ${(tintype! / pytorch).toFixed(2)}`;
    console.log(
      `${model} (${kind === "best" ? "fastest" : "median"}): ${shown.join(", ")}${ratio}`,
    );
  }
}
mkdirSync(resolve(import.meta.dirname, "results"), { recursive: true });
writeFileSync(
  resolve(import.meta.dirname, "results/training.json"),
  `${JSON.stringify({ machine: machine(), threads, spinning: values.spinning, rounds, results }, null, 2)}\n`,
);
