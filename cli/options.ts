import { Option } from "commander";
import { TintypeError } from "../src/util/errors.js";
import { unknownName } from "../src/util/nearest.js";

/*
 * Kinds of options. Each checks its value when it is parsed, and its errors begin with its name.
 * Flags are written "--steps <N>".
 */

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

export interface Range {
  readonly min: number;
  readonly max: number;
  /** What else the error says. */
  readonly hint?: string;
}

function refuse(option: Option, expected: string, got: string, hint = ""): never {
  const fix = hint === "" ? "" : ` ${hint}`;
  throw new TintypeError(
    "bad-argument",
    `${option.long}: expected ${expected}, got ${NUMBER.test(got) ? got : JSON.stringify(got)}.${fix}`,
  );
}

/** A whole number in [min, max]. */
export function whole(flags: string, description: string, { min, max, hint }: Range): Option {
  const option = new Option(flags, description);
  return option.argParser((text: string) => {
    const value = NUMBER.test(text) ? Number(text) : Number.NaN;
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    return refuse(option, `a whole number from ${min} to ${max}`, text, hint);
  });
}

/** A number in [min, max]; `above` leaves min itself out. */
export function real(
  flags: string,
  description: string,
  { min, max, hint, above = false }: Range & { readonly above?: boolean },
): Option {
  const option = new Option(flags, description);
  return option.argParser((text: string) => {
    const value = NUMBER.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max && !(above && value === min)) return value;
    const low = above ? `above ${min} and up to ${max}` : `from ${min} to ${max}`;
    return refuse(option, `a number ${low}`, text, hint);
  });
}

const MAX_SIDE = 16384;

/** Pixels: a multiple of 8. */
export function pixels(flags: string, description: string): Option {
  const option = new Option(flags, description);
  return option.argParser((text: string) => {
    const value = NUMBER.test(text) ? Number(text) : Number.NaN;
    if (Number.isInteger(value) && value >= 8 && value <= MAX_SIDE && value % 8 === 0) return value;
    const within = value >= 4 && value < MAX_SIDE;
    const hint = within ? `Try ${Math.max(8, Math.round(value / 8) * 8)}.` : "";
    return refuse(option, `a multiple of 8 from 8 to ${MAX_SIDE}`, text, hint);
  });
}

/** A seed, in [0, 2^64). */
export function seed(flags: string, description: string): Option {
  const option = new Option(flags, description);
  return option.argParser((text: string) => {
    const value = /^\+?\d+$/.test(text) ? BigInt(text) : -1n;
    if (value >= 0n && value < 2n ** 64n) return value;
    const hint = "Leave it out for a random one.";
    return refuse(option, `a whole number from 0 to ${2n ** 64n - 1n}`, text, hint);
  });
}

/** A range of whole numbers FROM:TO, the end left out; an open end is 0 or infinity. */
export function range(flags: string, description: string): Option {
  const option = new Option(flags, description);
  return option.argParser((text: string) => {
    const [, first = "", last = ""] = text.match(/^(\d*):(\d*)$/) ?? [];
    const [from, to] = [Number(first), last === "" ? Number.POSITIVE_INFINITY : Number(last)];
    if (text.includes(":") && first + last !== "" && from < to) return { from, to };
    return refuse(option, "FROM:TO, such as 0:10, :10 or 5:", text);
  });
}

/** One of a few words. */
export function oneOf(flags: string, description: string, choices: readonly string[]): Option {
  const option = new Option(flags, description).choices(choices);
  return option.argParser((text: string) => {
    if (choices.includes(text)) return text;
    const what = option.long!.slice(2);
    throw new TintypeError("bad-argument", `${option.long}: ${unknownName(what, text, choices)}`);
  });
}

/** Any text. `empty` says whether there may be none. */
export function words(
  flags: string,
  description: string,
  { empty = false }: { readonly empty?: boolean } = {},
): Option {
  const option = new Option(flags, description);
  return option.argParser((text: string) => {
    if (empty || text.trim() !== "") return text;
    return refuse(option, option.flags.replace(/^.*</, "").replace(/>.*$/, ""), text);
  });
}

/** The same option for several values, separated by commas. */
export function several(option: Option): Option {
  const one = option.parseArg!;
  return option.argParser((text: string) => [
    ...new Set(text.split(",").map((value) => one(value.trim(), undefined))),
  ]);
}
