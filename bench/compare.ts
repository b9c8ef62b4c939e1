/**
 * Tintype beside diffusers on PyTorch: a guided UNet step, a decode, the text encoder, loading and
 * memory, at Stable Diffusion 1.5's shapes. The two take turns; medians and their ratio are printed
 * and written to bench/results/compare.json.
 * Run: npx tsx bench/compare.ts FOLDER [--python PYTHON] [--dtype float32] [--side 512] [--rounds 5]
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { type BenchWorker, diffusersWorker, machine, median, tintypeWorker } from "./workers.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    python: { type: "string" },
    dtype: { type: "string", default: "float32" },
    side: { type: "string", default: "512" },
    rounds: { type: "string", default: "5" },
    threads: { type: "string", default: "0" },
  },
});
const folder = positionals[0];
if (folder === undefined)
  throw new Error("usage: npx tsx bench/compare.ts FOLDER [--python PYTHON]");
const [side, rounds, threads] = [values.side, values.rounds, values.threads].map(Number);

const workers: BenchWorker[] = [tintypeWorker()];
if (values.python !== undefined) workers.push(diffusersWorker(values.python));

type Samples = Record<string, number[]>;
const samples: Record<string, Samples> = Object.fromEntries(workers.map((w) => [w.name, {}]));

async function measure(what: string, request: Readonly<Record<string, unknown>>): Promise<void> {
  for (const worker of workers) {
    const value = await worker.ask(request);
    samples[worker.name]![what] ??= [];
    samples[worker.name]![what]!.push(value);
    process.stderr.write(`${worker.name} ${what} ${value.toPrecision(4)}\n`);
  }
}

await measure("load", { do: "load", folder: resolve(folder), dtype: values.dtype, threads });
for (const worker of workers) await worker.ask({ do: "step", side }); // warm-up, not counted
for (let round = 0; round < rounds!; round++) {
  await measure("step", { do: "step", side });
  await measure("text", { do: "text" });
}
for (const worker of workers) await worker.ask({ do: "decode", side });
for (let round = 0; round < rounds!; round++) await measure("decode", { do: "decode", side });
await measure("memory", { do: "memory" });
for (const worker of workers) worker.stop();

const medians = Object.fromEntries(
  Object.entries(samples).map(([name, of]) => [
    name,
    Object.fromEntries(Object.entries(of).map(([what, all]) => [what, median(all)])),
  ]),
);
const { tintype, diffusers } = medians;
console.log(`${"".padEnd(10)}${workers.map((w) => w.name.padStart(12)).join("")}       ratio`);
for (const what of Object.keys(tintype!)) {
  const show = (v: number): string =>
    (what === "memory" ? `${(v / 1e9).toFixed(2)} GB` : `${v.toFixed(3)} s`).padStart(12);
  const columns = workers.map((w) => show(medians[w.name]![what]!)).join("");
  const ratio = diffusers ? (tintype![what]! / diffusers[what]!).toFixed(2).padStart(12) : "";
  console.log(`${what.padEnd(10)}${columns}${ratio}`);
}
mkdirSync(resolve(import.meta.dirname, "results"), { recursive: true });
writeFileSync(
  resolve(import.meta.dirname, "results/compare.json"),
  `${JSON.stringify({ machine: machine(), side, dtype: values.dtype, medians, samples }, null, 2)}\n`,
);
