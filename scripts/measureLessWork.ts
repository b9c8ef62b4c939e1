/**
 * What shortcuts save, and what they cost: the same pictures with and without them, and with fewer steps
 * beside them. Work is counted, not timed: operations of the UNet's programs as they were run. Writes the
 * rows of docs/less-work.md.
 *
 *     npx tsx scripts/measureLessWork.ts [MODEL] [--prompts 16] [--size PIXELS] [--steps N]
 *         [--only steps,guidance,cache,merge] [--threads N]
 */
import { parseArgs } from "node:util";
import { psnr } from "../src/evaluation/index.js";
import { bindShape } from "../src/graph/dim.js";
import { flopsOf } from "../src/graph/flops.js";
import type { Graph } from "../src/graph/graph.js";
import { skipCount } from "../src/models/unet/config.js";
import {
  defaultModel,
  findModel,
  finish,
  type Generated,
  type GenerationRequest,
  openModel,
  PART_TITLES,
  rememberingPrompts,
  textToImage,
} from "../src/node.js";
import { nodePlatform } from "../src/platform/node/platform.js";
import { evaluationPrompts } from "../src/postcards/evaluation.js";
import type { Engine } from "../src/runtime/engine.js";
import { nodeEngine } from "../src/runtime/node/engine.js";
import type { Tensor } from "../src/tensor/tensor.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    prompts: { type: "string", default: "16" },
    size: { type: "string" },
    steps: { type: "string" },
    only: { type: "string", default: "steps,guidance,cache,merge" },
    threads: { type: "string", default: "2" },
  },
});

/** Operations of the UNet since the last look. */
let flops = 0;

const counted = new Map<string, number>();

/** Operations of one run. */
function work(label: string, graph: Graph, inputs: Readonly<Record<string, Tensor>>): number {
  const bindings: Record<string, number> = {};
  for (const [name, { shape }] of graph.inputs) bindShape(shape, inputs[name]!.shape, bindings);
  const key = `${label} ${JSON.stringify(bindings)}`;
  const known = counted.get(key) ?? flopsOf(graph, bindings);
  counted.set(key, known);
  return known;
}

/** An engine that counts. */
function counting(engine: Engine): Engine {
  return {
    ...engine,
    async load(graph, weights, options) {
      const program = await engine.load(graph, weights, options);
      const counts = options.label.startsWith(PART_TITLES.unet);
      return {
        ...program,
        async run(inputs) {
          if (counts) flops += work(options.label, graph, inputs);
          return await program.run(inputs);
        },
      };
    },
  };
}

const files = await findModel(positionals[0] ?? defaultModel());
await using engine = nodeEngine({
  platform: nodePlatform(),
  device: "cpu",
  threads: Number(values.threads),
});
await using opened = await openModel(files, { engine: counting(engine) });
const model = rememberingPrompts(opened);
const prompts = evaluationPrompts(Number(values.prompts)).map(({ prompt }) => prompt);
const steps = Number(values.steps ?? model.defaults.steps);
const side = values.size === undefined ? model.nativeSize : Number(values.size);

interface Drawn {
  readonly results: readonly Generated[];
  readonly flops: number;
}

async function draw(more: Partial<GenerationRequest>): Promise<Drawn> {
  flops = 0;
  const results: Generated[] = [];
  for (const [seed, prompt] of prompts.entries()) {
    const request = { prompt, seed, steps, width: side, height: side, ...more };
    results.push(await finish(textToImage(model, request)));
  }
  return { results, flops };
}

/** 10 log10 of the signal's power over that of what differs. */
function signalToNoise(signal: Tensor, other: Tensor): number {
  let [power, noise] = [0, 0];
  signal.data.forEach((x, i) => {
    power += x ** 2;
    noise += (x - other.data[i]!) ** 2;
  });
  return 10 * Math.log10(power / noise);
}

const mean = (of: readonly number[]): number => of.reduce((n, x) => n + x, 0) / of.length;
const decibels = (x: number): string => (Number.isFinite(x) ? x.toFixed(1) : "equal");

const plain = await draw({});

async function row(name: string, more: Partial<GenerationRequest>): Promise<void> {
  const { results, flops } = await draw(more);
  const of = (measure: (a: Generated, b: Generated) => number): number[] =>
    results.map((result, k) => measure(plain.results[k]!, result));
  const pictures = of((a, b) => psnr(a.pictures[0]!, b.pictures[0]!));
  const latents = of((a, b) => signalToNoise(a.latents, b.latents));
  const cells = [name, (flops / plain.flops).toFixed(2), decibels(mean(pictures))];
  console.log(
    `| ${[...cells, decibels(Math.min(...pictures)), decibels(mean(latents))].join(" | ")} |`,
  );
}

const MEASURES: Readonly<Record<string, () => Promise<void>>> = {
  async steps() {
    for (const share of [0.4, 0.5, 0.6, 0.7, 0.85]) {
      const fewer = Math.round(share * steps);
      await row(`${fewer} steps`, { steps: fewer });
    }
  },
  async guidance() {
    const at = (share: number): number => Math.round(share * steps);
    for (const [from, to] of [
      [0, at(0.25)],
      [0, at(0.5)],
      [0, at(0.75)],
      [at(0.25), steps],
      [at(0.1), at(0.75)],
    ] as const)
      await row(`\`--guidance-steps ${from}:${to}\``, { guidanceSteps: { from, to } });
  },
  async cache() {
    const branches = [0, 1, 2, 3].filter((branch) => branch < skipCount(model.unet));
    for (const branch of branches) {
      for (const every of [2, 3, 5]) {
        for (const power of [1, 1.2, 1.5]) {
          const flags = [
            ...(branch > 0 ? [`--deep-cache-branch ${branch}`] : []),
            ...(power > 1 ? [`--deep-cache-power ${power}`] : []),
          ];
          const name = [`--deep-cache ${every}`, ...flags].join(" ");
          await row(`\`${name}\``, { deepCache: { every, branch, power } });
        }
      }
    }
  },
  async merge() {
    for (const mergeTokens of [2, 3, 4, 8]) {
      try {
        await row(`\`--merge-tokens ${mergeTokens}\``, { mergeTokens });
      } catch (error) {
        console.error((error as Error).message); // the picture is too small
      }
    }
  },
};

console.log(`${files.name}, ${prompts.length} pictures of ${side} x ${side}, ${steps} steps\n`);
console.log("| setting | work | PSNR, mean | PSNR, worst | latents, SNR |");
console.log("|---|---|---|---|---|");
for (const name of values.only.split(",")) await MEASURES[name]!();
