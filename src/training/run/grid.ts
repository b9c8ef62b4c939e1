import { type Picture, picture } from "../../image/picture.js";
import type { Sample } from "../task.js";
import { type Context2D, type MakeCanvas, paste, pictureOf } from "./canvas.js";

const GAP = 12;
const LINE = 16;
const FONT = "12px sans-serif";
const LINES = 3;
/** Small pictures are shown larger, by a whole number. */
const LEAST_SIDE = 128;
const COLUMNS = 6;

/** Sample pictures in rows, each with its caption below. At least one sample. */
export function sampleGrid(samples: readonly Sample[], canvas: MakeCanvas): Picture {
  const shown = samples.map((sample) => ({ ...sample, picture: enlarged(sample.picture) }));
  const width = Math.max(...shown.map(({ picture }) => picture.width));
  const height = Math.max(...shown.map(({ picture }) => picture.height));
  const rows = Math.ceil(
    shown.length / Math.min(COLUMNS, Math.ceil(Math.sqrt(shown.length * 1.5))),
  );
  const columns = Math.ceil(shown.length / rows);
  const measure = canvas(1, 1);
  measure.font = FONT;
  const captions = shown.map(({ caption }) => wrapText(measure, caption, width));
  const lines = Math.max(...captions.map(({ length }) => length));
  const cell = { width: width + GAP, height: height + GAP + lines * LINE + (lines > 0 ? 6 : 0) };
  const size = [columns * cell.width + GAP, rows * cell.height + GAP] as const;
  const context = canvas(...size);
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, ...size);
  context.fillStyle = "#222222";
  context.font = FONT;
  context.textBaseline = "top";
  const cornerOf = (i: number): readonly [x: number, y: number] => [
    GAP + (i % columns) * cell.width,
    GAP + Math.floor(i / columns) * cell.height,
  ];
  for (const [i, lines] of captions.entries()) {
    const [x, y] = cornerOf(i);
    for (const [l, line] of lines.entries()) context.fillText(line, x, y + height + 6 + l * LINE);
  }
  const grid = pictureOf(context, ...size);
  for (const [i, { picture }] of shown.entries()) paste(grid, picture, ...cornerOf(i));
  return grid;
}

/** A small picture with each pixel as a square, so that its shorter side is at least LEAST_SIDE. */
function enlarged(small: Picture): Picture {
  const times = Math.ceil(LEAST_SIDE / Math.min(small.width, small.height));
  if (times === 1) return small;
  const [width, height] = [small.width * times, small.height * times];
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = 3 * (Math.floor(y / times) * small.width + Math.floor(x / times));
      data.set(small.data.subarray(from, from + 3), 3 * (y * width + x));
    }
  }
  return picture(width, height, data);
}

/** Text in lines of at most `width` pixels; what does not fit ends in an ellipsis. */
function wrapText(context: Context2D, text: string, width: number): string[] {
  const fits = (line: string): boolean => context.measureText(line).width <= width;
  const lines: string[] = [];
  for (const word of text.split(/\s+/).filter((w) => w !== "")) {
    const longer = lines.length === 0 ? word : `${lines.at(-1)} ${word}`;
    if (lines.length > 0 && fits(longer)) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  const kept = lines.slice(0, LINES);
  return kept.map((line, i) => {
    const cut = i + 1 === LINES && lines.length > LINES;
    return cut || !fits(line) ? shortened(line, fits) : line;
  });
}

function shortened(line: string, fits: (line: string) => boolean): string {
  let end = line.length;
  while (end > 0 && !fits(`${line.slice(0, end)}…`)) end--;
  return `${line.slice(0, end)}…`;
}
