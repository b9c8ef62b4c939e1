/** Lines over one axis; both axes start at 0. */
export interface Chart {
  readonly title: string;
  readonly x: string;
  /** Unit of the vertical axis. */
  readonly y: string;
  readonly lines: readonly {
    readonly name: string;
    readonly points: readonly (readonly [number, number])[];
  }[];
}

const COLORS = ["#b4552d", "#3a6ea5", "#5b8c5a", "#7d5ba6"];
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [340, 240, 44, 40, 34];

/** A round number that four or five of cover `max`. */
function tick(max: number): number {
  const rough = max / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  return ([1, 2, 5, 10].find((m) => m * power >= rough) ?? 10) * power;
}

function axis(max: number): number[] {
  const step = tick(max);
  return Array.from({ length: Math.ceil(max / step - 1e-9) + 1 }, (_, i) => i * step);
}

const label = (v: number): string => `${Number(v.toPrecision(4))}`;

function drawChart({ title, x, y, lines }: Chart, left: number, top: number): string {
  const all = lines.flatMap((l) => l.points);
  const xs = [...new Set(all.map(([at]) => at))].sort((a, b) => a - b);
  const ys = axis(Math.max(...all.map(([, v]) => v), 1e-9));
  const [xMax, yMax] = [xs.at(-1)!, ys.at(-1)!];
  const px = (v: number): number => LEFT + (v / xMax) * (WIDTH - LEFT - 16);
  const py = (v: number): number => HEIGHT - BOTTOM - (v / yMax) * (HEIGHT - BOTTOM - TOP);
  const grid = ys.map(
    (v) =>
      `<line x1="${LEFT}" x2="${WIDTH - 16}" y1="${py(v)}" y2="${py(v)}" stroke="#ddd"/>` +
      `<text x="${LEFT - 6}" y="${py(v) + 4}" text-anchor="end">${label(v)}</text>`,
  );
  const marks = xs.map(
    (v) => `<text x="${px(v)}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${label(v)}</text>`,
  );
  const drawn = lines.map(({ name, points }, i) => {
    const color = COLORS[i % COLORS.length];
    const path = points.map(([at, v]) => `${px(at)},${py(v)}`).join(" ");
    const dots = points.map(
      ([at, v]) => `<circle cx="${px(at)}" cy="${py(v)}" r="3" fill="${color}"/>`,
    );
    const key = `<text x="${LEFT + 8}" y="${TOP + 14 + 15 * i}" fill="${color}">${name}</text>`;
    return `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="2"/>${dots.join("")}${key}`;
  });
  return `<g transform="translate(${left} ${top})">
<text x="${LEFT}" y="20" font-weight="bold">${title}, ${y}</text>
${grid.join("\n")}
${marks.join("\n")}
<text x="${(LEFT + WIDTH) / 2}" y="${HEIGHT - 6}" text-anchor="middle" fill="#666">${x}</text>
${drawn.join("\n")}
</g>`;
}

/** Charts in rows of three, as one SVG. */
export function chartSheet(charts: readonly Chart[]): string {
  const rows = Math.ceil(charts.length / 3);
  const body = charts.map((c, i) => drawChart(c, (i % 3) * WIDTH, Math.floor(i / 3) * HEIGHT));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${3 * WIDTH}" height="${rows * HEIGHT}" font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="#fff"/>
${body.join("\n")}
</svg>
`;
}
