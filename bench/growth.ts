/**
 * How time and memory grow: a guided UNet step and a decode from 256 to 1024 pixels, and a step from
 * batch 1 to 4, each size in a process of its own so that its peak memory is its own. Writes
 * bench/results/growth.json and growth.svg. Run: npx tsx bench/growth.ts FOLDER [--python PYTHON]
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { type Chart, chartSheet } from "./chart.js";
import { type BenchWorker, diffusersWorker, machine, median, tintypeWorker } from "./workers.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { python: { type: "string" }, rounds: { type: "string", default: "3" } },
});
const folder = positionals[0];
if (folder === undefined)
  throw new Error("usage: npx tsx bench/growth.ts FOLDER [--python PYTHON]");

interface Point {
  readonly program: string;
  readonly what: "step" | "decode";
  readonly side: number;
  readonly batch: number;
  readonly seconds: number;
  readonly peakBytes: number;
}

const SIDES = [256, 384, 512, 768, 1024];
const BATCHES = [1, 2, 3, 4];

async function point(
  start: () => BenchWorker,
  what: Point["what"],
  side: number,
  batch: number,
): Promise<Point> {
  const worker = start();
  await worker.ask({ do: "load", folder: resolve(folder!), parts: [what] });
  const times: number[] = [];
  await worker.ask({ do: what, side, batch }); // warm-up
  const rounds = side >= 768 || batch > 1 ? 1 : Number(values.rounds);
  for (let i = 0; i < rounds; i++) times.push(await worker.ask({ do: what, side, batch }));
  const peakBytes = await worker.ask({ do: "memory" });
  worker.stop();
  const result = { program: worker.name, what, side, batch, seconds: median(times), peakBytes };
  process.stderr.write(`${JSON.stringify(result)}\n`);
  return result;
}

const { python } = values;
const programs = [tintypeWorker, ...(python === undefined ? [] : [() => diffusersWorker(python)])];
const points: Point[] = [];
for (const start of programs) {
  for (const side of SIDES) points.push(await point(start, "step", side, 1));
  for (const side of SIDES) points.push(await point(start, "decode", side, 1));
  for (const batch of BATCHES.slice(1)) points.push(await point(start, "step", 512, batch));
}

const names = [...new Set(points.map((p) => p.program))];
const chart = (
  title: string,
  x: string,
  y: string,
  rows: readonly Point[],
  over: "side" | "batch",
  value: (p: Point) => number,
): Chart => ({
  title,
  x,
  y,
  lines: names.map((name) => ({
    name,
    points: rows.filter((p) => p.program === name).map((p) => [p[over], value(p)] as const),
  })),
});
const steps = points.filter((p) => p.what === "step" && p.batch === 1);
const decodes = points.filter((p) => p.what === "decode");
const batches = points.filter((p) => p.what === "step" && p.side === 512);
const seconds = (p: Point): number => p.seconds;
const gigabytes = (p: Point): number => p.peakBytes / 1e9;
const svg = chartSheet([
  chart("Guided step", "pixels along a side", "s", steps, "side", seconds),
  chart("Decode", "pixels along a side", "s", decodes, "side", seconds),
  chart("Guided step at 512 pixels", "batch", "s", batches, "batch", seconds),
  chart("Peak memory of a step", "pixels along a side", "GB", steps, "side", gigabytes),
  chart("Peak memory of a decode", "pixels along a side", "GB", decodes, "side", gigabytes),
  chart("Peak memory at 512 pixels", "batch", "GB", batches, "batch", gigabytes),
]);
const results = resolve(import.meta.dirname, "results");
mkdirSync(results, { recursive: true });
writeFileSync(
  resolve(results, "growth.json"),
  `${JSON.stringify({ machine: machine(), points }, null, 2)}\n`,
);
writeFileSync(resolve(results, "growth.svg"), svg);
