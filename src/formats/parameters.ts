import { check } from "../util/errors.js";

/**
 * How a picture was made, as the text that AUTOMATIC1111's web UI writes into PNG files under the
 * keyword `parameters`, and that most programs read.
 */
export interface Parameters {
  readonly prompt: string;
  readonly negativePrompt: string;
  /** "Steps", "Sampler", "CFG scale", "Seed", "Size"..., by the web UI's names, in order. */
  readonly settings: Readonly<Record<string, string>>;
}

/** What `formatParameters` takes: numbers are written plainly, undefined settings are left out. */
export interface ParametersToWrite {
  readonly prompt: string;
  readonly negativePrompt?: string | undefined;
  readonly settings: Readonly<Record<string, string | number | undefined>>;
}

const NEGATIVE = "Negative prompt:";
const KEY = String.raw`[\p{L}\p{N}_][\p{L}\p{N}_ \-/]+`;
const SETTING = new RegExp(String.raw`\s*(${KEY}):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)`, "gu");
const WHOLE_KEY = new RegExp(`^${KEY}$`, "u");

// A last line with fewer settings is a line of a prompt that has a colon in it.
const LEAST_SETTINGS = 3;

function quote(value: string): string {
  return /[,:"\n\r]/.test(value) || value.trim() !== value || value === ""
    ? JSON.stringify(value)
    : value;
}

function unquote(value: string): string {
  if (!/^".*"$/s.test(value)) return value;
  try {
    const text: unknown = JSON.parse(value);
    return typeof text === "string" ? text : value;
  } catch {
    return value;
  }
}

/**
 * Prompt, negative prompt and settings as text: the last line holds the settings, `Steps: 20,
 * Sampler: Euler a, ...`. Values that could be misread are written as JSON strings.
 */
export function formatParameters({ prompt, negativePrompt, settings }: ParametersToWrite): string {
  const pairs = Object.entries(settings).flatMap(([key, value]) => {
    check(
      WHOLE_KEY.test(key) && key.trim() === key,
      "bad-argument",
      `parameters: a name takes two or more letters, digits, "_", " ", "-" and "/", got ${JSON.stringify(key)}`,
    );
    return value === undefined ? [] : [`${key}: ${quote(String(value))}`];
  });
  const negative = negativePrompt ? [`${NEGATIVE} ${negativePrompt}`] : [];
  return [prompt, ...negative, pairs.join(", ")].join("\n").trim();
}

/**
 * Reads what `formatParameters` and the web UI write; text of any other kind is a prompt without
 * settings. Each line loses the white space around it. Source: AUTOMATIC1111/stable-diffusion-webui,
 * modules/infotext_utils.py.
 */
export function parseParameters(text: string): Parameters {
  const lines = text.trim().split("\n");
  const found = [...lines.at(-1)!.matchAll(SETTING)];
  if (found.length >= LEAST_SETTINGS) lines.pop();
  const pairs = found.length >= LEAST_SETTINGS ? found : [];

  const trimmed = lines.map((line) => line.trim());
  const split = trimmed.findIndex((line) => line.startsWith(NEGATIVE));
  const positive = split < 0 ? trimmed : trimmed.slice(0, split);
  const negative = split < 0 ? [] : trimmed.slice(split);
  return {
    prompt: positive.join("\n").trim(),
    negativePrompt: negative
      .map((line) => (line.startsWith(NEGATIVE) ? line.slice(NEGATIVE.length).trim() : line))
      .join("\n")
      .trim(),
    settings: Object.fromEntries(pairs.map(([, key, value]) => [key!, unquote(value!)])),
  };
}
