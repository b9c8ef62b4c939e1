/**
 * Trains the judge of `tintype evaluate`, or goes on where the run stopped: ends with RUN/model.
 *
 *     npx tsx scripts/trainJudge.ts RUN [--config recipes/postcards/judge.json] [--set KEY=VALUE]...
 *
 * Put the product in models/postcards-judge; scripts/measureJudge.ts says how often it is right.
 */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { startJudgeWorker } from "../src/evaluation/judge/node/start.js";
import { judgeKind } from "../src/evaluation/judge/task.js";
import { TintypeError } from "../src/node.js";
import { trainModel } from "../src/training/node.js";
import { withSettings } from "../src/training/run/settings.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    config: {
      type: "string",
      default: resolve(import.meta.dirname, "../recipes/postcards/judge.json"),
    },
    set: { type: "string", multiple: true, default: [] },
  },
});
const [run] = positionals;
if (run === undefined) throw new Error("usage: npx tsx scripts/trainJudge.ts RUN");

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());

const config: unknown = JSON.parse(readFileSync(values.config, "utf8"));
const settings = withSettings(config, values.set, "--set");
const steps = trainModel(judgeKind(startJudgeWorker), settings, {
  run: resolve(run),
  resume: existsSync(run),
  configName: values.config,
  onNotice: (message) => console.log(message),
  signal: stop.signal,
});
try {
  for await (const { step, steps: all, metrics, examplesPerSecond } of steps) {
    if (step % 25 !== 0) continue;
    const shown = Object.entries(metrics).map(([name, value]) => `${name} ${value.toPrecision(3)}`);
    console.log(`${step}/${all}  ${examplesPerSecond.toFixed(0)}/s  ${shown.join(", ")}`);
  }
} catch (error) {
  if (!(error instanceof TintypeError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
