import { FAMILY_TITLES, type FileSummary, type ModelFamily } from "../../src/checkpoints/index.js";
import { formatBytes } from "../../src/platform/formatBytes.js";
import { counted } from "../../src/util/counted.js";
import { formatCount, table } from "../format.js";
import type { InspectedFiles, InspectedModel, InspectedPicture } from "./types.js";

/*
 * What `tintype inspect` shows to people.
 */

const SHOWN_KEYS = 8;

const PARTS = [
  ["text", "text encoder"],
  ["unet", "UNet"],
  ["vae", "VAE"],
] as const;

/** A model that runs. */
export function modelText(model: InspectedModel): string {
  const { components, memory, width, height, defaults } = model;
  const rows = PARTS.map(([part, title]) => {
    const { parameters, bytes, dtypes, file } = components[part];
    const place = inside(model.name, file);
    return [`  ${title}`, formatCount(parameters), dtypesText(dtypes), formatBytes(bytes), place];
  });
  const needs = memory.map(({ device, dtype, lowMemory, bytes }) => [
    `  ${device}, ${dtype}${lowMemory ? ", --low-memory" : ""}`,
    formatBytes(bytes),
  ]);
  return [
    `${model.name}: ${FAMILY_TITLES[model.family as ModelFamily]}\n`,
    table([
      ["  predicts", `${predictionText(model)} (${inside(model.name, model.predictionSource)})`],
      ["  scheduler", String(model.sampler)],
      ["  size", `${width}x${height}`],
      ["  by default", defaultsText(defaults)],
    ]),
    "\nComponents, with their parameters:\n",
    table(rows),
    `\nMemory for one picture of ${width}x${height}, about:\n`,
    table(needs),
    "\n",
    keysText(model),
  ].join("");
}

/** A path without the folder that it is in. */
const inside = (folder: string, path: string): string =>
  path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : path;

function predictionText({ prediction }: InspectedModel): string {
  return prediction === "probe" ? "eps or v: found out when it is loaded" : prediction;
}

function defaultsText({ steps, guidanceScale, sampler }: InspectedModel["defaults"]): string {
  const who = sampler === null ? "the scheduler's sampler" : `sampler ${sampler}`;
  return `${counted(steps, "step")}, guidance ${guidanceScale}, ${who}`;
}

function dtypesText(dtypes: FileSummary["dtypes"]): string {
  return Object.keys(dtypes).join(", ") || "-";
}

/** What does not fit, and what nothing reads. */
function keysText({ components, ignored, problems }: InspectedModel): string {
  const lines: string[] = [];
  for (const [part, title] of PARTS) {
    const { missing, unknown, wrongShape } = components[part];
    lines.push(...keyLines(`Missing from the ${title}`, missing));
    lines.push(...keyLines(`Unknown in the ${title}`, unknown));
    lines.push(...keyLines(`Of another shape in the ${title}`, wrongShape));
  }
  if (lines.length === 0) lines.push("No key is missing, unknown or of another shape.");
  for (const { rule, keys } of ignored)
    lines.push(`Not read: ${counted(keys.length, "key")} (${rule}).`);
  for (const problem of problems) lines.push(`Note: ${problem}`);
  return `${lines.join("\n")}\n`;
}

function keyLines(title: string, keys: readonly string[]): string[] {
  if (keys.length === 0) return [];
  const rest = keys.length > SHOWN_KEYS ? [`  and ${keys.length - SHOWN_KEYS} more`] : [];
  return [`${title}: ${keys.length}`, ...keys.slice(0, SHOWN_KEYS).map((k) => `  ${k}`), ...rest];
}

/** Weights that do not run. */
export function filesText({ name, reason, files }: InspectedFiles): string {
  const blocks = files.map((file) => {
    const { title, evidence, parameters, tensors, dtypes, bytes, metadata, firstKeys } = file;
    const facts = Object.entries(metadata).map(([key, value]) => [`  ${key}`, short(value)]);
    return [
      `${file.name}: ${title}\n`,
      table([
        ["  shown by", evidence ?? "nothing known"],
        ["  tensors", String(tensors)],
        [
          "  parameters",
          `${formatCount(parameters)} (${dtypesText(dtypes)}, ${formatBytes(bytes)})`,
        ],
        ...(evidence === undefined ? [["  first keys", firstKeys.slice(0, 3).join(", ")]] : []),
        ...facts.slice(0, 12),
      ]),
    ].join("");
  });
  const why = reason.startsWith(`${name}: `) ? reason.slice(name.length + 2) : reason;
  return `${blocks.join("\n")}\nIt does not run as it is: ${why}\n`;
}

const short = (text: string): string => {
  const line = text.replace(/\s+/g, " ");
  return line.length > 70 ? `${line.slice(0, 69)}…` : line;
};

/** A picture, and how it was made. */
export function pictureText({ name, width, height, text, parameters }: InspectedPicture): string {
  const head = `${name}: ${width}x${height}\n`;
  const others = Object.entries(text)
    .filter(([keyword]) => keyword !== "parameters")
    .map(([keyword, value]) => [`  ${keyword}`, short(value)]);
  if (parameters === undefined) {
    const none = "It does not say how it was made: it has no text named parameters.\n";
    return head + none + table(others);
  }
  const { prompt, negativePrompt, settings } = parameters;
  const rows = [
    ["  Prompt", prompt],
    ...(negativePrompt === "" ? [] : [["  Negative prompt", negativePrompt]]),
    ...Object.entries(settings).map(([key, value]) => [`  ${key}`, value]),
    ...others,
  ];
  return head + table(rows);
}
