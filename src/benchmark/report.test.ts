import { expect, test } from "vitest";
import { benchmarkChart, benchmarkJson, medianRows, pairsOf, ratioRows } from "./report.js";
import { addSamples, type Benchmark, type ContestantName, type Samples } from "./results.js";

const contestant = (program: ContestantName["program"], dtype: string) => ({
  name: `${program} ${dtype}`,
  program,
  dtype,
  about: "1.0",
});

const [fp32, int8, torch, ggml] = [
  contestant("tintype", "fp32"),
  contestant("tintype", "int8"),
  contestant("diffusers", "bf16"),
  contestant("sdcpp", "q8_0"),
];

function benchmark(rows: readonly (readonly [ContestantName, Samples])[]): Benchmark {
  return {
    model: "Stable Diffusion 1.5 <random>",
    machine: { processor: "Zen", cores: 4, memoryBytes: 24e9, system: "linux x64", load: 0.1 },
    settings: { rounds: 3, steps: 20, sampler: "euler", threads: undefined, sizes: [512] },
    memoryBy: "VmHWM",
    contestants: [fp32!, int8!, torch!, ggml!],
    failures: [{ contestant: ggml!.name, message: "it crashed" }],
    samples: new Map(rows.map(([c, samples]) => [c.name, new Map([[512, samples]])])),
  };
}

const RESULTS = benchmark([
  [fp32!, { step: [5, 4.8, 5.4], memory: [3.9e9, 4e9, 4.1e9], load: [1.9] }],
  [int8!, { step: [2, 2.2, 1.9], memory: [2.1e9], picture: [122.4] }],
  [torch!, { step: [4, 3.9, 4.2], picture: [200] }],
]);

test("a line a contestant, a column for what was measured", () => {
  expect(medianRows(RESULTS, 512)).toEqual([
    ["512x512", "load, s", "step, s", "picture, s", "memory, GB"],
    ["tintype fp32", "1.90", "5.00 ±3%", "-", "4.00"],
    ["tintype int8", "-", "2.00 ±4%", "122", "2.10"],
    ["diffusers bf16", "-", "4.00 ±2%", "200", "-"],
  ]);
});

test("ratios of medians: Tintype beside the others, and its dtypes beside its first", () => {
  expect(pairsOf(RESULTS).map(({ ours, theirs }) => [ours.dtype, theirs.dtype])).toEqual([
    ["int8", "fp32"],
    ["fp32", "bf16"],
    ["fp32", "q8_0"],
    ["int8", "bf16"],
    ["int8", "q8_0"],
  ]);
  const rows = ratioRows(RESULTS, 512);
  expect(rows[0]).toEqual(["ratio", "load", "step", "picture", "memory"]);
  expect(rows).toContainEqual(["tintype int8 : tintype fp32", "-", "0.40", "-", "0.53"]);
  expect(rows).toContainEqual(["tintype int8 : diffusers bf16", "-", "0.50", "0.61", "-"]);
  expect(rows.map(([pair]) => pair)).not.toContain("tintype fp32 : sdcpp q8_0"); // it failed
  const alone = { ...RESULTS, contestants: [fp32!] };
  expect(ratioRows(alone, 512)).toEqual([]);
});

test("plain data has every sample, seconds and bytes", () => {
  const json = benchmarkJson(RESULTS);
  expect(json.results).toContainEqual({
    contestant: "tintype fp32",
    size: 512,
    measure: "step",
    count: 3,
    median: 5,
    q1: 4.9,
    q3: 5.2,
    samples: [5, 4.8, 5.4],
  });
  expect(json.ratios).toContainEqual(
    expect.objectContaining({ ours: "tintype int8", theirs: "diffusers bf16", ratio: 0.5 }),
  );
  expect(json.settings).toMatchObject({ threads: null, steps: 20 });
  expect(JSON.parse(JSON.stringify(json))).toEqual(json);
});

test("the chart has a panel for each measure", () => {
  const svg = benchmarkChart(RESULTS);
  for (const title of ["guided step, s", "peak memory, GB", "whole picture, s", "load, s"]) {
    expect(svg).toContain(`>${title}<`);
  }
  expect(svg).toContain("Stable Diffusion 1.5 &lt;random&gt;, 512x512, Zen, 4 cores");
  expect([...svg.matchAll(/tintype int8</g)]).toHaveLength(3); // it was not loaded
});

test("samples of visits add up", () => {
  const first = addSamples(undefined, { step: [1, 2], memory: [9] });
  expect(addSamples(first, { step: [3], text: [4] })).toEqual({
    text: [4],
    step: [1, 2, 3],
    memory: [9],
  });
});
