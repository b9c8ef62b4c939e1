import { counted } from "../util/counted.js";
import { barChart, chartSheet, type Panel } from "./chart.js";
import {
  type Benchmark,
  type ContestantName,
  MEASURE_TITLES,
  MEASURES,
  type Measure,
} from "./results.js";
import { median, type Summary, spread, summarize } from "./statistics.js";

/*
 * A benchmark as a table, as plain data and as a chart.
 */

/** Two contestants whose medians are divided. */
export interface Pair {
  readonly ours: ContestantName;
  readonly theirs: ContestantName;
}

const samplesOf = (
  { samples }: Benchmark,
  { name }: ContestantName,
  size: number,
  measure: Measure,
): readonly number[] => samples.get(name)?.get(size)?.[measure] ?? [];

/** What was measured of any contestant at a size. */
function measuresAt(benchmark: Benchmark, size: number): Measure[] {
  return MEASURES.filter((measure) =>
    benchmark.contestants.some((c) => samplesOf(benchmark, c, size, measure).length > 0),
  );
}

/**
 * Tintype beside each other program, and each of its dtypes beside the first of them: pairs of which
 * the first should need less.
 */
export function pairsOf({ contestants }: Pick<Benchmark, "contestants">): Pair[] {
  const [first, ...rest] = contestants.filter((c) => c.program === "tintype");
  const others = contestants.filter((c) => c.program !== "tintype");
  if (first === undefined) return [];
  const own = rest.map((ours) => ({ ours, theirs: first }));
  return [
    ...own,
    ...[first, ...rest].flatMap((ours) => others.map((theirs) => ({ ours, theirs }))),
  ];
}

/** The ratio of two contestants' medians; undefined where one was not measured. */
export function ratioOf(
  benchmark: Benchmark,
  { ours, theirs }: Pair,
  size: number,
  measure: Measure,
): number | undefined {
  const [a, b] = [ours, theirs].map((c) => samplesOf(benchmark, c, size, measure));
  if (a!.length === 0 || b!.length === 0) return undefined;
  return median(a!) / median(b!);
}

const unitOf = (measure: Measure): string => (measure === "memory" ? "GB" : "s");
const inUnit = (measure: Measure, value: number): number =>
  measure === "memory" ? value / 1e9 : value;

/** Three digits: "0.0123", "4.95", "122". */
const short = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

function cell(measure: Measure, values: readonly number[]): string {
  if (values.length === 0) return "-";
  const summary = summarize(values);
  const share = Math.round(100 * spread(summary));
  const around = values.length === 1 || measure === "memory" ? "" : ` ±${share}%`;
  return `${short(inUnit(measure, summary.median))}${around}`;
}

/** Medians at a size, with how far half of the measurements lie from them; a line a contestant. */
export function medianRows(benchmark: Benchmark, size: number): string[][] {
  const measures = measuresAt(benchmark, size);
  const head = measures.map((measure) => `${measure}, ${unitOf(measure)}`);
  const rows = benchmark.contestants
    .filter(({ name }) => benchmark.samples.get(name)?.has(size))
    .map((contestant) => [
      contestant.name,
      ...measures.map((measure) => cell(measure, samplesOf(benchmark, contestant, size, measure))),
    ]);
  return [[`${size}x${size}`, ...head], ...rows];
}

/** Ratios of medians at a size; none where there is nothing to compare. */
export function ratioRows(benchmark: Benchmark, size: number): string[][] {
  const measures = measuresAt(benchmark, size);
  const rows = pairsOf(benchmark).flatMap((pair) => {
    const ratios = measures.map((measure) => ratioOf(benchmark, pair, size, measure));
    if (ratios.every((ratio) => ratio === undefined)) return [];
    const cells = ratios.map((ratio) => ratio?.toFixed(2) ?? "-");
    return [[`${pair.ours.name} : ${pair.theirs.name}`, ...cells]];
  });
  if (rows.length === 0) return [];
  return [["ratio", ...measures], ...rows];
}

/** Everything that was measured, as results.json has it; seconds and bytes. */
export function benchmarkJson(benchmark: Benchmark): Readonly<Record<string, unknown>> {
  const { model, machine, settings, memoryBy, contestants, failures } = benchmark;
  const entries = contestants.flatMap((contestant) =>
    settings.sizes.flatMap((size) =>
      measuresAt(benchmark, size).flatMap((measure) => {
        const values = samplesOf(benchmark, contestant, size, measure);
        if (values.length === 0) return [];
        const summary: Summary = summarize(values);
        return [{ contestant: contestant.name, size, measure, ...summary, samples: values }];
      }),
    ),
  );
  const ratios = settings.sizes.flatMap((size) =>
    pairsOf(benchmark).flatMap((pair) =>
      measuresAt(benchmark, size).flatMap((measure) => {
        const ratio = ratioOf(benchmark, pair, size, measure);
        const [ours, theirs] = [pair.ours.name, pair.theirs.name];
        return ratio === undefined ? [] : [{ ours, theirs, size, measure, ratio }];
      }),
    ),
  );
  const told = { ...settings, threads: settings.threads ?? null };
  const memory = { peakMemoryBy: memoryBy };
  return {
    model,
    machine,
    settings: told,
    ...memory,
    contestants,
    results: entries,
    ratios,
    failures,
  };
}

/** A panel for each measure at each size, as SVG. */
export function benchmarkChart(benchmark: Benchmark): string {
  const { model, machine, settings, contestants } = benchmark;
  const panels = settings.sizes.flatMap((size) =>
    measuresAt(benchmark, size).map((measure): Panel => {
      const bars = contestants.flatMap((contestant) => {
        const values = samplesOf(benchmark, contestant, size, measure);
        if (values.length === 0) return [];
        const { median, q1, q3 } = summarize(values);
        const [value, low, high] = [median, q1, q3].map((v) => inUnit(measure, v));
        const range = values.length > 1 ? ([low!, high!] as const) : undefined;
        return [{ name: contestant.name, value: value!, range }];
      });
      const at = settings.sizes.length > 1 ? `, ${size}x${size}` : "";
      return barChart({ title: `${MEASURE_TITLES[measure]}${at}`, unit: unitOf(measure), bars });
    }),
  );
  const one = settings.sizes.length === 1 ? `, ${settings.sizes[0]}x${settings.sizes[0]}` : "";
  return chartSheet(panels, {
    title: `${model}${one}, ${machine.processor}, ${counted(machine.cores, "core")}`,
    note:
      `Medians of ${counted(settings.rounds, "round")} in turns; lines from the first to the third quartile. ` +
      `A whole picture takes ${counted(settings.steps, "step")}, from the start of its process to its file.`,
  });
}
