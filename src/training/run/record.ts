import { encodePng } from "../../formats/index.js";
import type { Picture } from "../../image/picture.js";
import type { Platform } from "../../platform/types.js";
import type { Sample, Task } from "../task.js";
import type { MakeCanvas } from "./canvas.js";
import { openEvents } from "./events.js";
import { sampleGrid } from "./grid.js";
import { METRICS, PLOTS, SAMPLES, stepName } from "./layout.js";
import { type MetricsRow, openMetrics } from "./metrics.js";
import { plotSeries } from "./plot.js";

/** What a run writes for people to look at. */
export interface RunRecord extends AsyncDisposable {
  /** Losses of the steps before, the last one last. */
  readonly losses: readonly number[];
  append(row: MetricsRow): Promise<void>;
  /** Draws the curves anew; "now and then" only if that is some time ago. */
  plot(when: "at once" | "now and then"): Promise<void>;
  /** Writes a grid of sample pictures; returns its path, or undefined when there are none. */
  samples(task: Task, step: number): Promise<string | undefined>;
}

/** Drawing takes a moment of the thread that feeds the engine. */
const PLOT_EVERY_MS = 60_000;

/** Where a run's record goes. */
export interface RecordOptions {
  readonly platform: Platform;
  readonly run: string;
  /** Steps that were taken already; what is recorded of later ones is cut. */
  readonly step: number;
  readonly canvas: MakeCanvas;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Opens the record of a run. */
export async function openRecord(options: RecordOptions): Promise<RunRecord> {
  const { platform, run, step, canvas } = options;
  const { files } = platform;
  const metrics = await openMetrics(platform, `${run}/${METRICS}`, step);
  const events = await openEvents(files, run, { step, time: options.now() }).catch(
    async (error) => {
      await metrics[Symbol.asyncDispose]();
      throw error;
    },
  );
  let plotted = options.now();
  return {
    losses: metrics.series.get("loss")?.values ?? [],
    async append(row) {
      await metrics.append(row);
      const scalars = { ...row.metrics, samplesPerSecond: row.examplesPerSecond };
      await events.append(row.step, row.time, scalars);
    },
    async plot(when) {
      if (when === "now and then" && options.now() - plotted < PLOT_EVERY_MS) return;
      plotted = options.now();
      await files.makeFolder(`${run}/${PLOTS}`);
      for (const [name, series] of metrics.series) {
        const file = name.replace(/[^\w.-]+/g, "_");
        await writePng(platform, `${run}/${PLOTS}/${file}.png`, plotSeries(name, series, canvas));
      }
    },
    async samples(task, at) {
      const samples = await task.samples();
      if (samples.length === 0) return undefined;
      await files.makeFolder(`${run}/${SAMPLES}`);
      const path = `${run}/${SAMPLES}/${stepName(at)}.png`;
      await writePng(platform, path, sampleGrid(samples, canvas), captionsOf(samples));
      return path;
    },
    async [Symbol.asyncDispose]() {
      try {
        await metrics[Symbol.asyncDispose]();
      } finally {
        await events[Symbol.asyncDispose]();
      }
    },
  };
}

/** The captions, in the order of the pictures, as the PNG's own text. */
function captionsOf(samples: readonly Sample[]): Record<string, string> {
  return { Description: samples.map(({ caption }) => caption).join("\n") };
}

async function writePng(
  { files }: Platform,
  path: string,
  picture: Picture,
  text: Readonly<Record<string, string>> = {},
): Promise<void> {
  await files.writeAtomically(path, [await encodePng(picture, text)]);
}
