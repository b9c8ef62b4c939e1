import { type Fit, type Point, valueAt } from "./fit.js";

/*
 * Charts as SVG, readable on white and without a script.
 */

/** A panel of a sheet, drawn into a box of this size. */
export interface Panel {
  readonly height: number;
  /** SVG elements, from (0, 0) on. */
  readonly body: string;
}

/** Lines over one axis; both axes start at 0. */
export interface LineChart {
  readonly title: string;
  readonly x: string;
  /** Unit of the vertical axis. */
  readonly y: string;
  readonly lines: readonly {
    readonly name: string;
    readonly points: readonly Point[];
    /** Drawn as a thin line in place of straight ones between the points. */
    readonly fit?: Fit | undefined;
    /** What the fit takes for x, where that is not x itself. */
    readonly scale?: ((x: number) => number) | undefined;
  }[];
}

/** Bars side by side in one unit, from 0. */
export interface BarChart {
  readonly title: string;
  readonly unit: string;
  readonly bars: readonly {
    readonly name: string;
    readonly value: number;
    /** A line from the first to the third quartile. */
    readonly range?: readonly [low: number, high: number] | undefined;
  }[];
}

export const PANEL_WIDTH = 340;

const COLORS = ["#b4552d", "#3a6ea5", "#5b8c5a", "#7d5ba6", "#a08a2c", "#2c9c97"];
const [HEIGHT, LEFT, RIGHT, BOTTOM, TOP] = [240, 44, 16, 40, 34];
/** Around text that stands on lines. */
const HALO = 'paint-order="stroke" stroke="#fff" stroke-width="3"';
const color = (i: number): string => COLORS[i % COLORS.length]!;

/** Text as it may stand in XML. */
const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** Numbers with few digits, as labels have them. */
const label = (value: number): string => `${Number(value.toPrecision(3))}`;

const pixel = (value: number): string => `${Number(value.toFixed(1))}`;

/** Round numbers from 0 to at least `max`, few of them. */
function axis(max: number): number[] {
  const rough = Math.max(max, 1e-9) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((m) => m * power >= rough) ?? 10) * power;
  return Array.from({ length: Math.ceil(max / step - 1e-9) + 1 }, (_, i) => i * step);
}

/** Lines with a dot for each point. */
export function lineChart({ title, x, y, lines }: LineChart): Panel {
  const all = lines.flatMap((line) => line.points);
  const xs = axis(Math.max(0, ...all.map(([at]) => at)));
  const ys = axis(Math.max(0, ...all.map(([, value]) => value)));
  const right = PANEL_WIDTH - RIGHT;
  const px = (v: number): string => pixel(LEFT + (v / (xs.at(-1) || 1)) * (right - LEFT));
  const py = (v: number): string =>
    pixel(HEIGHT - BOTTOM - (v / (ys.at(-1) || 1)) * (HEIGHT - BOTTOM - TOP));
  const grid = ys.map(
    (v) =>
      `<line x1="${LEFT}" x2="${right}" y1="${py(v)}" y2="${py(v)}" stroke="#ddd"/>` +
      `<text x="${LEFT - 6}" y="${py(v)}" dy="4" text-anchor="end">${label(v)}</text>`,
  );
  const marks = xs.map(
    (v) => `<text x="${px(v)}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${label(v)}</text>`,
  );
  const drawn = lines.map(({ name, points, fit, scale = (v) => v }, i) => {
    const curve = fit === undefined ? points : fitted(points, (at) => valueAt(fit, scale(at)));
    const path = curve.map(([at, v]) => `${px(at)},${py(v)}`).join(" ");
    const dots = points.map(([at, v]) => `<circle cx="${px(at)}" cy="${py(v)}" r="3"/>`);
    return `<g fill="${color(i)}"><polyline points="${path}" fill="none" stroke="${color(i)}" stroke-width="${fit ? 1 : 2}"/>
${dots.join("")}<text x="${LEFT + 8}" y="${TOP + 14 + 15 * i}" ${HALO}>${escaped(name)}</text></g>`;
  });
  const body = [
    `<text x="${LEFT}" y="20" font-weight="bold">${escaped(title)}, ${escaped(y)}</text>`,
    ...grid,
    ...marks,
    `<text x="${(LEFT + PANEL_WIDTH) / 2}" y="${HEIGHT - 6}" text-anchor="middle" fill="#666">${escaped(x)}</text>`,
    ...drawn,
  ].join("\n");
  return { height: HEIGHT, body };
}

/** A curve over the range of some points. */
function fitted(points: readonly Point[], law: (x: number) => number): Point[] {
  const [low, high] = [Math.min(...points.map(([x]) => x)), Math.max(...points.map(([x]) => x))];
  return Array.from({ length: 41 }, (_, i): Point => {
    const at = low + ((high - low) * i) / 40;
    return [at, law(at)];
  });
}

const [BAR, GAP, NAMES] = [18, 6, 110];

/** Horizontal bars, each with its value and its quartiles. */
export function barChart({ title, unit, bars }: BarChart): Panel {
  const max = Math.max(1e-9, ...bars.map(({ value, range }) => Math.max(value, range?.[1] ?? 0)));
  const px = (v: number): number => (v / max) * (PANEL_WIDTH - NAMES - RIGHT - 46);
  const rows = bars.map(({ name, value, range }, i) => {
    const y = TOP + i * (BAR + GAP);
    const middle = y + BAR / 2;
    const width = pixel(px(value));
    const end = pixel(NAMES + Math.max(px(value), px(range?.[1] ?? 0)) + 6);
    const quartiles =
      range === undefined
        ? ""
        : `<line x1="${pixel(NAMES + px(range[0]))}" x2="${pixel(NAMES + px(range[1]))}" y1="${middle}" y2="${middle}" stroke="#222" stroke-width="1.5"/>`;
    return `<text x="${NAMES - 6}" y="${middle + 4}" text-anchor="end">${escaped(name)}</text><rect x="${NAMES}" y="${y}" width="${width}" height="${BAR}" fill="${color(i)}"/>${quartiles}<text x="${end}" y="${middle + 4}">${label(value)}</text>`;
  });
  const head = `<text x="${NAMES}" y="20" font-weight="bold">${escaped(title)}, ${escaped(unit)}</text>`;
  return { height: TOP + bars.length * (BAR + GAP) + 10, body: [head, ...rows].join("\n") };
}

/** Panels in rows of `columns`, as one SVG; `title` stands above them, `note` below. */
export function chartSheet(
  panels: readonly Panel[],
  {
    columns = 3,
    title = "",
    note = "",
  }: { readonly columns?: number; readonly title?: string; readonly note?: string } = {},
): string {
  const parts: string[] = [];
  let top = title === "" ? 0 : 34;
  if (title !== "") parts.push(`<text x="12" y="24" font-size="15">${escaped(title)}</text>`);
  for (let at = 0; at < panels.length; at += columns) {
    const row = panels.slice(at, at + columns);
    for (const [i, { body }] of row.entries()) {
      parts.push(`<g transform="translate(${i * PANEL_WIDTH} ${top})">\n${body}\n</g>`);
    }
    top += Math.max(...row.map((panel) => panel.height));
  }
  if (note !== "") {
    top += 26;
    parts.push(`<text x="12" y="${top - 10}" fill="#666">${escaped(note)}</text>`);
  }
  const width = PANEL_WIDTH * Math.min(columns, Math.max(1, panels.length));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${top}" font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="#fff"/>
${parts.join("\n")}
</svg>
`;
}
