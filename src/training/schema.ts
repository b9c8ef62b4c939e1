import * as v from "valibot";
import { TintypeError } from "../util/errors.js";
import { nearest } from "../util/nearest.js";

/*
 * Settings as JSON: what they may be, and what a user is told when they are something else. The
 * message of a check is what it expects: "a whole number from 1".
 */

/** What a piece of settings may be, and what it becomes. */
export type ConfigSchema<T> = v.GenericSchema<unknown, T>;

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
  const issues = result.issues.flatMap((issue) => innerIssues(schema, json, issue));
  const problems = issues.map((issue) => `${where}: ${problemOf(schema, json, issue)}`);
  throw new TintypeError("bad-argument", [...new Set(problems)].join("\n"));
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

/** A value as a message shows it: JSON, cut where it is long. */
export function showValue(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** Of a value that fits none of several schemas: what is wrong with it for the one that it fits best. */
function innerIssues(
  schema: AnySchema,
  json: unknown,
  issue: v.BaseIssue<unknown>,
): v.BaseIssue<unknown>[] {
  const outer = issue.path ?? [];
  if (issue.type !== "union") return [issue];
  const tries = schemaAt(schema, json, keysTo(issue)).map((option) => {
    const { issues } = v.safeParse(option as ConfigSchema<unknown>, issue.input);
    return (issues ?? []).map((inner): v.BaseIssue<unknown> => {
      if (inner.path === undefined) return inner;
      const [first = inner.path[0], ...rest] = [...outer, ...inner.path];
      return { ...inner, path: [first, ...rest] };
    });
  });
  const near = tries.filter((issues) => issues.every(({ path }) => path !== undefined));
  const [best] = near.toSorted((one, other) => one.length - other.length);
  return best ?? [issue];
}

const keysTo = ({ path }: v.BaseIssue<unknown>): (string | number)[] =>
  (path ?? []).map(({ key }) => key as string | number);

function problemOf(schema: AnySchema, json: unknown, issue: v.BaseIssue<unknown>): string {
  const path = keysTo(issue);
  const key = showPath(path);
  const holder = issue.path?.at(-1)?.input;
  if (issue.type === "strict_object" && Array.isArray(holder)) {
    return sentence(path.slice(0, -1), WORDS.Object!, holder);
  }
  if (issue.type === "strict_object" && issue.expected === "never") {
    return unknownKey(schema, json, path);
  }
  if (issue.input === undefined && issue.path !== undefined) {
    const hint = issue.type === "strict_object" ? "" : ` It is ${expectedOf(issue)}.`;
    return `the key "${key}" is missing.${hint}`;
  }
  const guess = typeof issue.input === "string" ? nearest(issue.input, wordsOf(issue)) : undefined;
  const hint = guess === undefined ? "" : ` Did you mean "${guess}"?`;
  return `${sentence(path, expectedOf(issue), issue.input)}${hint}`;
}

function sentence(path: readonly (string | number)[], expected: string, got: unknown): string {
  const key = path.length === 0 ? "" : `${showPath(path)}: `;
  return `${key}expected ${expected}, got ${showValue(got)}.`;
}

function unknownKey(schema: AnySchema, json: unknown, path: readonly (string | number)[]): string {
  const name = String(path.at(-1));
  const here = path.slice(0, -1);
  const known = keysOf(schemaAt(schema, json, here));
  const all = allPaths(schema);
  const near = nearest(name, known);
  const guess =
    near !== undefined
      ? showPath([...here, near])
      : all.find((other) => other.split(".").at(-1) === name && other !== showPath(path));
  const hint = guess === undefined ? "." : `: did you mean "${guess}"?`;
  const place = here.length === 0 ? "" : ` of "${showPath(here)}"`;
  return `unknown key "${showPath(path)}"${hint} Keys${place}: ${known.join(", ")}.`;
}

/** What an issue expects, in words. */
function expectedOf({ message, expected, type }: v.BaseIssue<unknown>): string {
  if (!message.startsWith("Invalid ")) return message; // our own words
  if (expected === null) return "something else";
  const words = wordsOf({ expected });
  if (["picklist", "literal", "variant"].includes(type) && words.length > 0) {
    const quoted = words.map((word) => `"${word}"`);
    return quoted.join(", ").replace(/, ([^,]*)$/, " or $1");
  }
  const kinds = expected.replace(/^\((.*)\)$/, "$1").split(" | ");
  return kinds.map((kind) => WORDS[kind] ?? kind).join(" or ");
}

const WORDS: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  boolean: "true or false",
  Object: "an object { ... }",
  Array: "a list [ ... ]",
};

/** The words that an issue offers: `("a" | "b")`. */
function wordsOf({ expected }: Pick<v.BaseIssue<unknown>, "expected">): string[] {
  return [...(expected ?? "").matchAll(/"([^"]*)"/g)].map(([, word]) => word!);
}

function showPath(path: readonly (string | number)[]): string {
  return path
    .map((key, i) => (typeof key === "number" ? `[${key}]` : i === 0 ? key : `.${key}`))
    .join("");
}

/** What valibot's schemas have that lead to others. */
interface AnySchema {
  readonly type: string;
  readonly entries?: Readonly<Record<string, AnySchema>>;
  readonly wrapped?: AnySchema;
  readonly item?: AnySchema;
  readonly options?: readonly unknown[];
  readonly key?: string;
  readonly default?: unknown;
}

const isSchema = (value: unknown): value is AnySchema =>
  typeof value === "object" && value !== null && "type" in value;

/** The schemas that may hold at one place, without wrappers; of a variant those that `value` names. */
function alternatives(schema: AnySchema, value: unknown): AnySchema[] {
  if (schema.wrapped !== undefined) return alternatives(schema.wrapped, value);
  const options = (schema.options ?? []).filter(isSchema);
  if (options.length === 0) return [schema];
  const named = options.filter((option) => {
    const tag = schema.key === undefined ? undefined : option.entries?.[schema.key];
    if (tag === undefined || typeof value !== "object" || value === null) return true;
    return v.safeParse(tag as ConfigSchema<unknown>, Reflect.get(value, schema.key!)).success;
  });
  return named.flatMap((option) => alternatives(option, value));
}

function schemaAt(
  schema: AnySchema,
  value: unknown,
  path: readonly (string | number)[],
): AnySchema[] {
  const here = alternatives(schema, value);
  const [key, ...rest] = path;
  if (key === undefined) return here;
  const inner = typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
  return here.flatMap((s) => {
    const next = typeof key === "number" ? s.item : s.entries?.[key];
    return next === undefined ? [] : schemaAt(next, inner, rest);
  });
}

const keysOf = (schemas: readonly AnySchema[]): string[] => [
  ...new Set(schemas.flatMap((s) => Object.keys(s.entries ?? {}))),
];

/** The path of every key that settings may have. */
export function keyPaths<T>(schema: ConfigSchema<T>): string[] {
  return [...new Set(allPaths(schema))];
}

/** The path of every key below a schema. */
function allPaths(schema: AnySchema, path: readonly string[] = []): string[] {
  return alternatives(schema, undefined).flatMap((s) =>
    Object.entries(s.entries ?? {}).flatMap(([key, inner]) => {
      const here = [...path, key];
      return [here.join("."), ...allPaths(inner, here)];
    }),
  );
}
