import type { ProfileShare } from "../../src/benchmark/profile.js";
import { PART_TITLES } from "../../src/pipelines/parts.js";
import { counted } from "../../src/util/counted.js";
import { table } from "../format.js";
import type { Profile } from "./run.js";

/*
 * What `tintype profile` shows to people.
 */

/** Rows that a table shows; the rest is summed up. */
const ROWS = 24;
const BAR_WIDTH = 24;

/** Three tables, with bars where a line of `columns` characters has room for them. */
export function profileText(profile: Profile, columns: number, unicode: boolean): string {
  const { model, part, dtype, device, size, batch, runs } = profile;
  const { milliseconds, operatorMilliseconds, kinds, layers, operators, depth } = profile;
  const many = batch === 1 ? "" : `, ${batch} pictures at once`;
  const what = part === "text" ? `${2 * batch} prompts` : `${size}x${size}${many}`;
  const show = (title: string, mostly: string, rows: readonly ProfileShare[]): string =>
    sharesText(title, mostly, rows, { columns, unicode });
  return [
    `${PART_TITLES[part]} of ${model}, ${dtype} on ${device}, ${what}\n`,
    `${time(milliseconds)} a run, ${time(operatorMilliseconds)} of it in operators (${counted(runs, "run")})\n\n`,
    show("kinds of layers", "mostly", kinds),
    "\n",
    show(`layers to depth ${depth}`, "mostly", layers),
    "\n",
    show("operators", "mostly in", operators),
  ].join("");
}

const time = (milliseconds: number): string =>
  milliseconds >= 1000
    ? `${(milliseconds / 1000).toPrecision(3)} s`
    : `${Number(milliseconds.toPrecision(3))} ms`;

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

function sharesText(
  title: string,
  mostly: string,
  shares: readonly ProfileShare[],
  { columns, unicode }: { readonly columns: number; readonly unicode: boolean },
): string {
  const shown = shares.slice(0, ROWS);
  const rest = shares.slice(ROWS);
  const rows = shown.map(({ name, calls, milliseconds, share, mostly }) => [
    name === "" ? "(between)" : name,
    percent(share),
    time(milliseconds),
    String(calls),
    `${mostly.name === "" ? "(between)" : mostly.name} ${Math.round(100 * mostly.share)} %`,
  ]);
  if (rest.length > 0) {
    const sum = (of: (share: ProfileShare) => number): number =>
      rest.reduce((total, share) => total + of(share), 0);
    const name = `and ${rest.length} more`;
    rows.push([name, percent(sum((s) => s.share)), time(sum((s) => s.milliseconds)), "", ""]);
  }
  const plain = table([[title, "share", "time", "calls", mostly], ...rows]);
  const width = Math.max(...plain.split("\n").map((line) => line.length));
  if (width + BAR_WIDTH + 2 > columns) return plain;
  const largest = shares[0]?.share ?? 1;
  const bars = shown.map(({ share }) => bar(share / largest, unicode));
  const lines = plain.split("\n");
  return lines
    .map((line, i) => (bars[i - 1] === undefined ? line : `${line.padEnd(width)}  ${bars[i - 1]}`))
    .map((line) => line.trimEnd())
    .join("\n");
}

function bar(share: number, unicode: boolean): string {
  return (unicode ? "█" : "#").repeat(Math.round(share * BAR_WIDTH));
}
