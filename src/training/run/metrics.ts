import type { Platform, Sink } from "../../platform/types.js";
import type { Metrics } from "../task.js";

/** What a line of `metrics.jsonl` says. */
export interface MetricsRow {
  /** Optimizer steps that were taken, this one included. */
  readonly step: number;
  readonly metrics: Metrics;
  /** What the step took. */
  readonly seconds: number;
  readonly examplesPerSecond: number;
  /** When it was done, milliseconds since 1970. */
  readonly time: number;
}

/** Values of one metric, with the step of each. */
export interface Series {
  readonly steps: number[];
  readonly values: number[];
}

/** The file of metrics, being written, and all that it holds. */
export interface MetricsLog extends AsyncDisposable {
  readonly series: ReadonlyMap<string, Series>;
  append(row: MetricsRow): Promise<void>;
}

/** Keys of a line that are no metrics. */
const OTHER_KEYS: ReadonlySet<string> = new Set(["step", "seconds", "samplesPerSecond", "time"]);

/**
 * Opens the metrics of a run that has taken `step` steps: lines of later steps, which a run that
 * was killed left behind, are cut.
 */
export async function openMetrics(
  platform: Platform,
  path: string,
  step: number,
): Promise<MetricsLog> {
  const series = new Map<string, Series>();
  const keep = await readLines(platform, path, (line) => {
    const row = parseRow(line);
    if (row === undefined || row.step > step) return false;
    add(series, row.step, row.metrics);
    return true;
  });
  const sink: Sink = await platform.files.append(path, keep);
  return {
    series,
    async append(row) {
      add(series, row.step, row.metrics);
      await sink.write(new TextEncoder().encode(`${formatRow(row)}\n`));
    },
    [Symbol.asyncDispose]: () => sink.close(),
  };
}

/** Hands out whole lines until one is refused; returns the bytes of those that were taken. */
async function readLines(
  platform: Platform,
  path: string,
  take: (line: string) => boolean,
): Promise<number> {
  if ((await platform.files.stat(path)) === undefined) return 0;
  const source = await platform.openFile(path);
  const bytes = await source.read(0, source.size);
  let start = 0;
  for (;;) {
    const end = bytes.indexOf(0x0a, start);
    if (end < 0 || !take(new TextDecoder().decode(bytes.subarray(start, end)))) return start;
    start = end + 1;
  }
}

function add(series: Map<string, Series>, step: number, metrics: Readonly<Metrics>): void {
  for (const [name, value] of Object.entries(metrics)) {
    const one = series.get(name) ?? { steps: [], values: [] };
    one.steps.push(step);
    one.values.push(value);
    series.set(name, one);
  }
}

function formatRow({ step, metrics, seconds, examplesPerSecond, time }: MetricsRow): string {
  return JSON.stringify({
    step,
    ...metrics,
    seconds: Number(seconds.toPrecision(4)),
    samplesPerSecond: Number(examplesPerSecond.toPrecision(4)),
    time: new Date(time).toISOString(),
  });
}

/** Undefined for a line that is no row of metrics, as a full disk leaves it. */
function parseRow(line: string): Pick<MetricsRow, "step" | "metrics"> | undefined {
  let row: unknown;
  try {
    row = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof row !== "object" || row === null) return undefined;
  const { step, ...rest } = row as Readonly<Record<string, unknown>>;
  const metrics = Object.entries(rest).filter(([key]) => !OTHER_KEYS.has(key));
  if (typeof step !== "number" || !("loss" in rest)) return undefined;
  const numbers = metrics.map(([key, value]) => [
    key,
    typeof value === "number" ? value : Number.NaN,
  ]);
  return { step, metrics: Object.fromEntries(numbers) as Metrics };
}
