import { chartSheet, type LineChart, lineChart } from "./chart.js";
import { type Fit, fitPowers, type Point } from "./fit.js";

/*
 * How time and memory grow with pixels, pictures at once, and steps.
 */

/** Something to measure, in a process of its own. */
export interface GrowthPoint {
  /** A guided call of the UNet, a decode, or a whole picture from start to file. */
  readonly what: "step" | "decode" | "picture";
  /** Of the picture, in pixels. */
  readonly side: number;
  /** Pictures at once; guidance doubles the UNet's batch. */
  readonly batch: number;
  /** Of the whole picture; 0 for its parts. */
  readonly steps: number;
}

/** A point that was measured. */
export interface GrowthResult extends GrowthPoint {
  readonly contestant: string;
  readonly seconds: number;
  readonly peakBytes: number;
}

/** What is varied. */
export interface GrowthRange {
  readonly sides: readonly number[];
  readonly batches: readonly number[];
  readonly steps: readonly number[];
  /** Side of the pictures where batch and steps are varied. */
  readonly side: number;
}

/** All points, each once, the cheapest first: a run that is stopped has the most of them. */
export function planGrowth({ sides, batches, steps, side }: GrowthRange): GrowthPoint[] {
  const all: GrowthPoint[] = [
    ...sides.map((side) => ({ what: "step", side, batch: 1, steps: 0 }) as const),
    ...sides.map((side) => ({ what: "decode", side, batch: 1, steps: 0 }) as const),
    ...batches.map((batch) => ({ what: "step", side, batch, steps: 0 }) as const),
    ...steps.map((steps) => ({ what: "picture", side, batch: 1, steps }) as const),
  ];
  const points = all.filter((point, i) => all.findIndex((other) => isSame(point, other)) === i);
  const cost = ({ side, batch, steps }: GrowthPoint): number => side ** 3 * batch * (steps + 1);
  return points.sort((a, b) => cost(a) - cost(b));
}

/** Whether two points are one. */
export function isSame(a: GrowthPoint, b: GrowthPoint): boolean {
  return a.what === b.what && a.side === b.side && a.batch === b.batch && a.steps === b.steps;
}

/** One chart's worth: a line a contestant. */
export interface GrowthSeries {
  readonly title: string;
  /** What is varied, and what the coefficients of a fit are per. */
  readonly x: string;
  readonly per: string;
  readonly unit: "s" | "GB";
  readonly lines: readonly {
    readonly contestant: string;
    readonly points: readonly Point[];
    /** Of x as `per` counts it; undefined for a single point. */
    readonly fit: Fit | undefined;
  }[];
  /** x of a point -> what the fit takes. */
  readonly scale: (x: number) => number;
}

interface Axis {
  readonly what: GrowthPoint["what"];
  readonly title: string;
  readonly x: string;
  readonly per: string;
  readonly of: (point: GrowthPoint) => number;
  readonly scale: (x: number) => number;
  readonly powers: readonly number[];
  readonly belongs: (point: GrowthPoint, side: number) => boolean;
}

const same = (x: number): number => x;
const alone = ({ batch }: GrowthPoint): boolean => batch === 1;
/** Self-attention grows with the square of the pixels, everything else with the pixels. */
const PIXELS = {
  x: "pixels along a side",
  per: "megapixel",
  of: ({ side }: GrowthPoint) => side,
  scale: (side: number) => side ** 2 / 1e6,
  powers: [0, 1, 2],
} as const;

const AXES: readonly Axis[] = [
  { ...PIXELS, what: "step", title: "Guided step", belongs: alone },
  { ...PIXELS, what: "decode", title: "Decode", belongs: alone },
  {
    what: "step",
    title: "Guided step",
    x: "pictures at once",
    per: "picture",
    of: ({ batch }) => batch,
    scale: same,
    powers: [0, 1],
    belongs: (point, side) => point.side === side,
  },
  {
    what: "picture",
    title: "Whole picture",
    x: "steps",
    per: "step",
    of: ({ steps }) => steps,
    scale: same,
    powers: [0, 1],
    belongs: (point, side) => point.side === side && point.batch === 1,
  },
];

/** What was measured, by what was varied: time, then memory. Series without two points are left out. */
export function growthSeries(results: readonly GrowthResult[], side: number): GrowthSeries[] {
  const names = [...new Set(results.map((r) => r.contestant))];
  return (["s", "GB"] as const)
    .flatMap((unit) => AXES.map((axis) => seriesOf(axis, unit, names, results, side)))
    .filter(({ lines }) => lines.some(({ points }) => points.length > 1));
}

function seriesOf(
  { what, title, x, per, of, scale, powers, belongs }: Axis,
  unit: GrowthSeries["unit"],
  names: readonly string[],
  results: readonly GrowthResult[],
  side: number,
): GrowthSeries {
  const lines = names.map((contestant) => {
    const points = results
      .filter((r) => r.contestant === contestant && r.what === what && belongs(r, side))
      .map((r): Point => [of(r), unit === "s" ? r.seconds : r.peakBytes / 1e9])
      .sort(([a], [b]) => a - b);
    const scaled = points.map(([at, value]): Point => [scale(at), value]);
    return { contestant, points, fit: points.length > 1 ? fitPowers(scaled, powers) : undefined };
  });
  const where = x === PIXELS.x ? "" : ` at ${side} pixels`;
  const subject = unit === "s" ? title : `Memory of a ${title.toLowerCase()}`;
  return { title: `${subject}${where}`, x, per, unit, scale, lines };
}

/** All series as one SVG. */
export function growthChart(series: readonly GrowthSeries[], title: string): string {
  const charts = series.map(({ title, x, unit, lines, scale }): LineChart => {
    return {
      ...{ title, x, y: unit },
      lines: lines
        .filter(({ points }) => points.length > 0)
        .map(({ contestant, points, fit }) => ({ name: contestant, points, fit, scale })),
    };
  });
  const note = "Dots are measured, each in a process of its own; lines are fits.";
  return chartSheet(charts.map(lineChart), { columns: 4, title, note });
}

/** "0.12 s + 14.2 s a megapixel + 9.1 s a megapixel squared (off by 3 %)". */
export function describeFit({ terms, error }: Fit, unit: string, per: string): string {
  const names = ["", ` a ${per}`, ` a ${per} squared`];
  const parts = terms
    .filter(({ coefficient }) => coefficient > 0)
    .map(
      ({ power, coefficient }) => `${Number(coefficient.toPrecision(3))} ${unit}${names[power]}`,
    );
  return `${parts.join(" + ")} (off by ${Number((100 * error).toPrecision(2))} %)`;
}
