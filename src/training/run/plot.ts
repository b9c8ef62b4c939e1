import type { Picture } from "../../image/picture.js";
import { type Context2D, type MakeCanvas, pictureOf } from "./canvas.js";
import type { Series } from "./metrics.js";

const SIZE = { width: 800, height: 480 };
const AREA = { left: 80, right: 780, top: 44, bottom: 430 };
const COLOURS = {
  text: "#222222",
  grid: "#e4e4e4",
  axis: "#888888",
  raw: "#b9d3ee",
  smooth: "#1f5fa8",
};

/** Each value as it is, and a smoothed line through them. */
interface Curve {
  readonly steps: readonly number[];
  readonly raw: readonly number[];
  readonly smooth: readonly number[];
}

/** How a number lies on an axis of pixels. */
interface Axis {
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
  readonly label: (value: number) => string;
}

/**
 * A plot of one metric over the steps: raw values, and their running mean. Where all values are
 * positive and span more than a factor of 20, the axis is logarithmic.
 */
export function plotSeries(name: string, series: Series, canvas: MakeCanvas): Picture {
  const context = canvas(SIZE.width, SIZE.height);
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, SIZE.width, SIZE.height);
  const curve = smoothed(series);
  const x = linearAxis([0, Math.max(1, curve.steps.at(-1) ?? 1)], AREA.left, AREA.right);
  const y = valueAxis(curve);
  drawAxes(context, x, y);
  drawLine(context, curve.steps, curve.raw, { x, y, colour: COLOURS.raw, width: 1 });
  drawLine(context, curve.steps, curve.smooth, { x, y, colour: COLOURS.smooth, width: 2 });
  const last = curve.smooth.at(-1);
  drawTitle(context, name, last === undefined ? "" : shortNumber(last));
  return pictureOf(context, SIZE.width, SIZE.height);
}

/** The mean of a fiftieth of the run around each step. */
function smoothed({ steps, values }: Series): Curve {
  const finite = [...values.keys()].filter((i) => Number.isFinite(values[i]));
  const raw = finite.map((i) => values[i]!);
  const sums = [0];
  for (const value of raw) sums.push(sums.at(-1)! + value);
  const most = Math.floor(raw.length / 100);
  const smooth = raw.map((_, i) => {
    const reach = Math.min(most, i, raw.length - 1 - i);
    return (sums[i + reach + 1]! - sums[i - reach]!) / (2 * reach + 1);
  });
  return { steps: finite.map((i) => steps[i]!), raw, smooth };
}

/** Wild first values would press the rest flat: the axis holds the smooth line and most of the raw. */
function valueAxis({ raw, smooth }: Curve): Axis {
  const sorted = raw.toSorted((a, b) => a - b);
  const share = (q: number): number => sorted[Math.round(q * (sorted.length - 1))] ?? 0;
  const later = smooth.slice(Math.floor(smooth.length / 100));
  const low = later.reduce((a, b) => Math.min(a, b), share(0.005));
  const high = later.reduce((a, b) => Math.max(a, b), share(0.995));
  if (low > 0 && high / low > 20) return logAxis([low, high], AREA.bottom, AREA.top);
  const margin = high > low ? 0.04 * (high - low) : Math.max(1e-9, Math.abs(high) * 0.1);
  return linearAxis([low - margin, high + margin], AREA.bottom, AREA.top);
}

function linearAxis([low, high]: readonly [number, number], from: number, to: number): Axis {
  const step = niceStep((high - low) / 6);
  const first = Math.ceil(low / step);
  const count = Math.floor(high / step) - first + 1;
  return {
    at: (value) => from + ((value - low) / (high - low)) * (to - from),
    ticks: Array.from({ length: count }, (_, i) => (first + i) * step),
    label: (value) => shortNumber(Number(value.toPrecision(6))),
  };
}

function logAxis([low, high]: readonly [number, number], from: number, to: number): Axis {
  const [a, b] = [Math.log10(low) - 0.03, Math.log10(high) + 0.03];
  const steps = b - a > 4 ? [1] : b - a > 2 ? [1, 3] : [1, 2, 5];
  const ticks: number[] = [];
  for (let power = Math.floor(a); power <= b; power++) {
    ticks.push(...steps.map((s) => Number(`${s}e${power}`)));
  }
  return {
    at: (value) => from + ((Math.log10(Math.max(value, low * 0.1)) - a) / (b - a)) * (to - from),
    ticks: ticks.filter((t) => Math.log10(t) >= a && Math.log10(t) <= b),
    label: shortNumber,
  };
}

/** 1, 2 or 5 times a power of ten, at least x. */
function niceStep(x: number): number {
  const power = 10 ** Math.floor(Math.log10(x));
  return power * ([1, 2, 5, 10].find((s) => s * power >= x) ?? 10);
}

/** 1500 -> "1.5k", 0.000125 -> "1.25e-4" */
function shortNumber(x: number): string {
  const size = Math.abs(x);
  if (x === 0) return "0";
  if (size >= 1e6) return `${Number((x / 1e6).toPrecision(4))}M`;
  if (size >= 1e3) return `${Number((x / 1e3).toPrecision(4))}k`;
  if (size < 1e-3) return x.toExponential().length < 8 ? x.toExponential() : x.toExponential(2);
  return String(Number(x.toPrecision(4)));
}

function drawAxes(context: Context2D, x: Axis, y: Axis): void {
  context.lineWidth = 1;
  context.font = "13px sans-serif";
  context.fillStyle = COLOURS.text;
  const line = (colour: string, ax: number, ay: number, bx: number, by: number): void => {
    context.strokeStyle = colour;
    context.beginPath();
    context.moveTo(ax, ay);
    context.lineTo(bx, by);
    context.stroke();
  };
  const sharp = (pixel: number): number => Math.round(pixel) + 0.5; // lines of one pixel
  for (const tick of y.ticks) {
    const at = sharp(y.at(tick));
    line(COLOURS.grid, AREA.left, at, AREA.right, at);
    context.textAlign = "right";
    context.textBaseline = "middle";
    context.fillText(y.label(tick), AREA.left - 8, at);
  }
  for (const tick of x.ticks) {
    const at = sharp(x.at(tick));
    line(COLOURS.grid, at, AREA.top, at, AREA.bottom);
    context.textAlign = "center";
    context.textBaseline = "top";
    context.fillText(x.label(tick), at, AREA.bottom + 8);
  }
  line(COLOURS.axis, AREA.left, sharp(AREA.bottom), AREA.right, sharp(AREA.bottom));
  line(COLOURS.axis, sharp(AREA.left), AREA.top, sharp(AREA.left), AREA.bottom);
  context.textAlign = "center";
  context.fillText("step", (AREA.left + AREA.right) / 2, AREA.bottom + 28);
}

function drawTitle(context: Context2D, name: string, last: string): void {
  context.fillStyle = COLOURS.text;
  context.textBaseline = "middle";
  context.textAlign = "left";
  context.font = "bold 16px sans-serif";
  context.fillText(name, AREA.left, 22);
  context.textAlign = "right";
  context.font = "14px sans-serif";
  context.fillText(last, AREA.right, 22);
}

interface LineStyle {
  readonly x: Axis;
  readonly y: Axis;
  readonly colour: string;
  readonly width: number;
}

/** Of many values in one column of pixels the least and the greatest are drawn. */
function drawLine(
  context: Context2D,
  steps: readonly number[],
  values: readonly number[],
  { x, y, colour, width }: LineStyle,
): void {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.lineJoin = "round";
  context.beginPath();
  const inside = (value: number): number => Math.min(AREA.bottom, Math.max(AREA.top, y.at(value)));
  const single = steps.length === 1;
  for (let i = 0; i < steps.length; ) {
    const column = Math.round(x.at(steps[i]!));
    let [low, high] = [values[i]!, values[i]!];
    for (; i < steps.length && Math.round(x.at(steps[i]!)) === column; i++) {
      [low, high] = [Math.min(low, values[i]!), Math.max(high, values[i]!)];
    }
    const [first, second] = [inside(low), inside(high)];
    if (column === Math.round(x.at(steps[0]!))) context.moveTo(column - (single ? 3 : 0), first);
    else context.lineTo(column, first);
    context.lineTo(column, second);
  }
  context.stroke();
}
