/**
 * How time and memory grow: a guided step and a decode over pixels, a step over pictures at once, a whole
 * picture over steps; each point in a process of its own, Tintype and the others in turns. Each point is
 * written down as soon as it is measured: the same command goes on where it was stopped. Points that do
 * not fit into the memory are told of and left out. Writes OUT.json, with the fits, and OUT.svg.
 * Run: npx tsx bench/growth.ts [--model sd1.5] [--dtype fp32,int8] [--against diffusers:PYTHON]
 *      [--sides 256,...] [--batches 1,...] [--steps 1,...] [--side 512] [--threads N] [--out FILE]
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parseArgs } from "node:util";
import type { Contestant, VisitRequest } from "../cli/bench/contestant.js";
import { contestantsOf } from "../cli/bench/contestants.js";
import { busyNotice, thisMachine } from "../cli/bench/machine.js";
import { type BenchModel, benchFolder, benchModel } from "../cli/bench/model.js";
import { DEFAULT_DTYPES, parseAgainst } from "../cli/bench/options.js";
import { progressOn } from "../cli/progress.js";
import { report } from "../cli/report.js";
import { processTerminal } from "../cli/terminal.js";
import {
  describeFit,
  type GrowthPoint,
  type GrowthResult,
  growthChart,
  growthSeries,
  isSame,
  planGrowth,
} from "../src/benchmark/growth.js";
import { median } from "../src/benchmark/statistics.js";
import { nodePlatform, TintypeError } from "../src/node.js";
import { writeJson, writeText } from "../src/platform/writeText.js";
import { check, throwIfAborted } from "../src/util/errors.js";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "sd1.5" },
    dtype: { type: "string", default: DEFAULT_DTYPES.join(",") },
    against: { type: "string", multiple: true, default: [] },
    threads: { type: "string" },
    sides: { type: "string", default: "256,384,512,640,768,1024,1280,1536,2048" },
    batches: { type: "string", default: "1,2,3,4,6,8" },
    steps: { type: "string", default: "1,5,10,20,40" },
    side: { type: "string" },
    out: { type: "string", default: resolve(import.meta.dirname, "results/growth") },
  },
});
const stop = new AbortController();
process.once("SIGINT", () => stop.abort(new Error("SIGINT")));
const platform = nodePlatform();
const terminal = processTerminal(stop.signal);
const [jsonFile, chartFile] = [`${resolve(values.out)}.json`, `${resolve(values.out)}.svg`];

const numbers = (text: string): number[] => text.split(",").filter(Boolean).map(Number);
const say = (text: string): void => void process.stderr.write(`${text}\n`);

/** What an earlier run has measured. Throws "bad-argument" for another model's or machine's. */
function pointsBefore({ title }: BenchModel): GrowthResult[] {
  if (!existsSync(jsonFile)) return [];
  const { model, machine, points } = JSON.parse(readFileSync(jsonFile, "utf8"));
  const isOurs = model === title && machine.processor === thisMachine().processor;
  const what = `${jsonFile} was measured with ${model} on ${machine?.processor}.`;
  check(isOurs, "bad-argument", `${what} Name another file with --out.`);
  return points;
}

/** Writes down what is measured so far; returns the laws that fit it, a line each. */
async function record(
  { title }: BenchModel,
  side: number,
  points: readonly GrowthResult[],
): Promise<string[]> {
  const machine = thisMachine();
  const series = growthSeries(points, side);
  const fits = series.flatMap(({ title, x, unit, per, lines }) =>
    lines.flatMap(({ contestant, fit }) => {
      if (fit === undefined) return [];
      return [{ contestant, title, x, law: describeFit(fit, unit, per), ...fit }];
    }),
  );
  const head = `${title}, ${machine.processor}, ${machine.cores} cores`;
  await writeJson(platform.files, jsonFile, { model: title, machine, fits, points });
  await writeText(platform.files, chartFile, growthChart(series, head));
  return fits.map(({ contestant, title, law }) => `${title}, ${contestant}: ${law}`);
}

/** What all visits have in common. */
type Common = Omit<VisitRequest, "parts" | "side" | "batch" | "steps">;

/** One point of one contestant. Throws "out-of-memory" where it is known not to fit. */
async function measure(
  contestant: Contestant,
  point: GrowthPoint,
  common: Common,
): Promise<GrowthResult> {
  const { what, ...size } = point;
  const { [what]: times, memory } = await contestant.visit({
    ...common,
    ...size,
    parts: new Set([what]),
  });
  const isWhole = times !== undefined && memory !== undefined;
  check(isWhole, "device", `${contestant.name} did not tell what a ${what} takes.`);
  return { contestant: contestant.name, ...point, seconds: median(times), peakBytes: memory[0]! };
}

const titleOf = ({ what, side, batch, steps }: GrowthPoint): string => {
  const many = batch > 1 ? `, ${batch} pictures` : "";
  return `${what} of ${side}x${side}${many}${steps > 0 ? `, ${steps} steps` : ""}`;
};

/** Those who can be started, in turns; Tintype comes first and says what fits. */
async function ready(contestants: readonly Contestant[], common: Common): Promise<Contestant[]> {
  const found: Contestant[] = [];
  const parts = new Set(["step"] as const);
  for (const contestant of contestants) {
    try {
      await contestant.prepare({ ...common, parts, side: 512, batch: 1, steps: 1 });
      found.push(contestant);
    } catch (error) {
      throwIfAborted(stop.signal);
      if (!(error instanceof TintypeError)) throw error;
      if (error.code !== "unsupported") say(`left out: ${error.message}`);
    }
  }
  return found;
}

/** Measures what is not measured yet, in turns; a point that does not fit for Tintype is nobody's. */
async function* measureAll(
  plan: readonly GrowthPoint[],
  contestants: readonly Contestant[],
  before: readonly GrowthResult[],
  common: Common,
): AsyncGenerator<GrowthResult> {
  for (const point of plan) {
    let fits = true;
    for (const contestant of contestants) {
      const { name } = contestant;
      if (before.some((p) => p.contestant === name && isSame(p, point))) continue;
      const title = `${name}: ${titleOf(point)}`;
      try {
        check(fits, "out-of-memory", "It would not fit into the memory for Tintype.");
        const result = await measure(contestant, point, common);
        const memory = (result.peakBytes / 1e9).toFixed(2);
        say(`${title}: ${result.seconds.toPrecision(4)} s, ${memory} GB`);
        yield result;
      } catch (error) {
        throwIfAborted(stop.signal);
        if (!(error instanceof TintypeError)) throw error;
        if (error.code === "out-of-memory") fits = false;
        say(`${title}: skipped. ${error.message}`);
      }
    }
  }
}

async function main(): Promise<void> {
  using progress = progressOn(terminal, { live: false });
  const busy = busyNotice(thisMachine());
  if (busy !== undefined) say(busy);
  const model = await benchModel(values.model, platform, progress, terminal);
  const { sides, batches, steps, threads, dtype, against } = values;
  const side = values.side === undefined ? model.side : Number(values.side);
  const ranges = { sides: numbers(sides), batches: numbers(batches), steps: numbers(steps), side };
  const scratch = benchFolder(platform);
  for (const folder of [scratch, dirname(jsonFile)]) await platform.files.makeFolder(folder);
  const common = { signal: stop.signal, scratch, onPart: () => {} };
  const settings = { dtype: dtype.split(","), against: against.map(parseAgainst) };
  const machine = { device: "cpu" as const, ...(threads && { threads: Number(threads) }) };
  const all = contestantsOf({ ...settings, ...machine }, model, platform);
  const points = pointsBefore(model);
  const entered = await ready(all, common);
  for await (const point of measureAll(planGrowth(ranges), entered, [...points], common)) {
    points.push(point);
    await record(model, side, points);
  }
  for (const law of await record(model, side, points)) console.log(law);
  console.log(`${chartFile}, ${jsonFile}`);
}

try {
  await main();
} catch (error) {
  process.exitCode = report(error, terminal, "npx tsx bench/growth.ts");
}
