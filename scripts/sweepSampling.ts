/**
 * Tries samplers, steps and guidance scales on evaluation prompts, so that a model's defaults can be
 * chosen by what they do: accuracies, Frechet distance and time of each.
 *
 *     npx tsx scripts/sweepSampling.ts [MODEL] [--prompts 64] [--samplers ddim,dpmpp_2m]
 *         [--steps 10,15,20] [--scales 2,3,4,5] [--batch 8] [--threads N]
 */
import { parseArgs } from "node:util";
import { table } from "../cli/format.js";
import { evaluatePrompts, type PromptResults } from "../src/evaluation/evaluate.js";
import { openJudge } from "../src/evaluation/judge/files.js";
import { defaultJudge } from "../src/evaluation/node.js";
import { percent } from "../src/evaluation/report.js";
import { defaultModel, loadModel } from "../src/node.js";
import { finish } from "../src/pipelines/run.js";
import { canvasContext } from "../src/platform/node/canvas.js";
import { nodePlatform } from "../src/platform/node/platform.js";
import { paintPostcard } from "../src/postcards/paint.js";
import type { Scene } from "../src/postcards/world.js";
import { nodeEngine } from "../src/runtime/node/engine.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    prompts: { type: "string", default: "64" },
    samplers: { type: "string", default: "ddim,dpmpp_2m,euler" },
    steps: { type: "string", default: "10,20" },
    scales: { type: "string", default: "2,4,6" },
    batch: { type: "string", default: "8" },
    threads: { type: "string" },
    judge: { type: "string", default: defaultJudge() },
  },
});
const threads = values.threads === undefined ? undefined : Number(values.threads);
const numbers = (list: string): number[] => list.split(",").map(Number);

const platform = nodePlatform();
await using model = await loadModel(positionals[0] ?? defaultModel(), { device: "cpu", threads });
await using engine = nodeEngine({ platform, device: "cpu", threads });
await using judge = await openJudge(await platform.openFolder(values.judge), engine);

async function measure(settings: {
  readonly sampler: string;
  readonly steps: number;
  readonly guidanceScale: number;
}): Promise<PromptResults> {
  const options = { prompts: Number(values.prompts), batchSize: Number(values.batch) };
  const paint = (scene: Scene) => paintPostcard(scene, canvasContext);
  return await finish(evaluatePrompts(model, judge, { ...settings, ...options, paint }));
}

const SHOWN = ["all", "object", "colour", "count", "position", "time", "ground"] as const;
const rows: string[][] = [];
for (const sampler of values.samplers.split(",")) {
  for (const steps of numbers(values.steps)) {
    for (const guidanceScale of numbers(values.scales)) {
      const { accuracy, frechet, secondsPerPicture } = await measure({
        sampler,
        steps,
        guidanceScale,
      });
      const shares = SHOWN.map((key) => percent(accuracy[key]));
      const numbers = [frechet.toPrecision(3), `${secondsPerPicture.toFixed(2)} s`];
      rows.push([sampler, `${steps}`, `${guidanceScale}`, ...shares, ...numbers]);
      console.error(rows.at(-1)!.join("  "));
    }
  }
}
const head = ["sampler", "steps", "scale", ...SHOWN, "Frechet", "a picture"];
const best = rows.toSorted((a, b) => Number.parseFloat(b[3]!) - Number.parseFloat(a[3]!));
console.log(table([head, ...best]));
