import * as v from "valibot";
import { TintypeError } from "../util/errors.js";
import { oneLine } from "../util/oneLine.js";
import { problemsOf } from "./schemaProblems.js";
import { type AnySchema, allPaths, alternatives, type ConfigSchema } from "./schemaTree.js";

export type { ConfigSchema } from "./schemaTree.js";

/*
 * Settings as JSON: what they may be. The message of a check is what it expects: "a whole number from
 * 1"; schemaProblems.ts makes sentences of these.
 */

/** A whole number in [min, max]. */
export function whole(min: number, max: number = Number.MAX_SAFE_INTEGER): ConfigSchema<number> {
  const upTo = max === Number.MAX_SAFE_INTEGER ? "" : ` to ${max}`;
  const expected = `a whole number from ${min}${upTo}`;
  const fits = (n: number): boolean => Number.isSafeInteger(n) && n >= min && n <= max;
  return v.pipe(v.number(expected), v.check(fits, expected));
}

/** A finite number in [min, max]; `above` leaves min itself out. */
export function real(
  min: number,
  max: number = Number.POSITIVE_INFINITY,
  { above = false }: { readonly above?: boolean } = {},
): ConfigSchema<number> {
  const low = above ? `above ${min}` : `from ${min}`;
  const upTo = max === Number.POSITIVE_INFINITY ? "" : above ? ` and up to ${max}` : ` to ${max}`;
  const expected = `a number ${low}${upTo}`;
  const fits = (x: number): boolean =>
    Number.isFinite(x) && x <= max && (above ? x > min : x >= min);
  return v.pipe(v.number(expected), v.check(fits, expected));
}

/** Text that is not empty. */
export function text(expected = "text"): ConfigSchema<string> {
  return v.pipe(
    v.string(expected),
    v.check((s) => s.trim() !== "", expected),
  );
}

/** One of a few words. */
export function oneOf<const W extends readonly string[]>(words: W): ConfigSchema<W[number]> {
  return v.picklist(words);
}

/**
 * The settings in `json`, checked, with their defaults filled in. `where` is what messages call
 * them, usually a file name. Throws "bad-argument" with every key that is unknown (and the one that
 * was probably meant), missing, or of another kind.
 */
export function parseConfig<T>(schema: ConfigSchema<T>, json: unknown, where: string): T {
  const result = v.safeParse(schema, json);
  if (result.success) return result.output;
  const problems = problemsOf(schema, json, result.issues);
  throw new TintypeError(
    "bad-argument",
    problems.map((it) => oneLine(`${where}: ${it}`)).join("\n"),
  );
}

/** Settings that were checked. */
export interface ResolvedConfig<T> {
  readonly config: T;
  /** The same as JSON that the schema accepts, with the defaults written out. */
  readonly json: unknown;
}

/** Like `parseConfig`, with the JSON that says all of it; that JSON resolves to itself. */
export function resolveConfig<T>(
  schema: ConfigSchema<T>,
  json: unknown,
  where: string,
): ResolvedConfig<T> {
  return { config: parseConfig(schema, json, where), json: withDefaults(schema, json) };
}

/** JSON that a schema accepts, with the defaults of keys that are left out. */
function withDefaults(schema: AnySchema, json: unknown): unknown {
  const value = json === undefined ? schema.default : json;
  if (value === undefined || value === null) return value;
  if (schema.wrapped !== undefined) return withDefaults(schema.wrapped, value);
  const fitting = alternatives(schema, value).filter(
    (s) => v.safeParse(s as ConfigSchema<unknown>, value).success,
  );
  const { entries } = fitting.find((s) => s.entries !== undefined) ?? {};
  if (entries !== undefined && typeof value === "object" && !Array.isArray(value)) {
    const rows = Object.entries(entries).map(([key, inner]) => {
      return [key, withDefaults(inner, Reflect.get(Object(value), key))] as const;
    });
    return Object.fromEntries(rows.filter(([, inner]) => inner !== undefined));
  }
  const { item } = fitting.find((s) => s.item !== undefined) ?? {};
  if (item !== undefined && Array.isArray(value)) return value.map((v) => withDefaults(item, v));
  return value;
}

/** The path of every key that settings may have. */
export function keyPaths<T>(schema: ConfigSchema<T>): string[] {
  return [...new Set(allPaths(schema))];
}
