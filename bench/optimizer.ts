/**
 * Optimizers over 11 million parameters: WebAssembly beside plain JavaScript, in turn, in one run.
 * Writes bench/results/optimizer.json. Run: npx tsx bench/optimizer.ts
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { median } from "../src/benchmark/statistics.js";
import {
  chain,
  clipByGlobalNorm,
  ema,
  firstStep,
  type Kernels,
  optimizer,
  type Parameter,
  PLAIN_KERNELS,
  type Transform,
  takeMemory,
} from "../src/optim/index.js";
import { machine } from "./workers.js";

const COUNT = 11_000_000;
/** As many arrays as a UNet of that size has. */
const TENSORS = 220;
const ROUNDS = 15;

const RULES: Readonly<Record<string, (kernels: Kernels) => Transform>> = {
  adamw: (k) => optimizer({ kind: "adamw" }, k),
  "norm, adamw, average": (k) =>
    chain(clipByGlobalNorm(k, 1), optimizer({ kind: "adamw" }, k), ema(k, { decay: 0.999 })),
  lion: (k) => optimizer({ kind: "lion" }, k),
  "sgd with momentum": (k) => optimizer({ kind: "sgd", momentum: 0.9 }, k),
  norm: (k) => clipByGlobalNorm(k),
};

/** Parameters whose numbers are those of a trained model in size, with what `rule` keeps. */
function parameters(rule: Transform, groups: readonly (readonly Float32Array[])[]): Parameter[] {
  return groups.map(([value, gradient, ...kept], i) => {
    for (let k = 0; k < value!.length; k++) {
      value![k] = Math.sin(i + 0.37 * k);
      gradient![k] = 0.01 * Math.cos(i + 0.71 * k);
    }
    const state = Object.fromEntries(rule.parts.map((part, j) => [part, kept[j]!]));
    const one = { name: `${i}`, rate: 1, decay: true, gathered: 1, state };
    return { ...one, value: value!, gradient: gradient! };
  });
}

interface Timing {
  readonly plain: number;
  readonly webAssembly: number;
  readonly ratio: number;
}

function compare(make: (kernels: Kernels) => Transform): Timing {
  const { parts } = make(PLAIN_KERNELS);
  const size = COUNT / TENSORS;
  const lengths = Array.from({ length: TENSORS }, () => [size, size, ...parts.map(() => size)]);
  const memory = takeMemory(lengths);
  const plainGroups = lengths.map((group) => group.map((n) => new Float32Array(n)));
  const contestants = [
    { rule: make(PLAIN_KERNELS), groups: plainGroups },
    { rule: make(memory.kernels), groups: memory.groups },
  ].map(({ rule, groups }) => ({ rule, own: parameters(rule, groups), times: [] as number[] }));
  for (let round = 0; round < ROUNDS; round++) {
    for (const { rule, own, times } of contestants) {
      const started = performance.now();
      rule.update(own, firstStep(round, 1e-4));
      times.push(performance.now() - started);
    }
  }
  const [plain, webAssembly] = contestants.map(({ times }) => median(times.slice(3))) as [
    number,
    number,
  ];
  return { plain, webAssembly, ratio: plain / webAssembly };
}

const results: Record<string, Timing> = {};
for (const [name, make] of Object.entries(RULES)) {
  const timing = compare(make);
  results[name] = timing;
  const [plain, wasm] = [timing.plain.toFixed(1), timing.webAssembly.toFixed(1)];
  console.log(`${name}: ${plain} ms plain, ${wasm} ms WebAssembly, ${timing.ratio.toFixed(1)} x`);
}
const folder = new URL("results/", import.meta.url);
mkdirSync(folder, { recursive: true });
const report = { machine: machine(), parameters: COUNT, milliseconds: results };
writeFileSync(new URL("optimizer.json", folder), `${JSON.stringify(report, undefined, 2)}\n`);
