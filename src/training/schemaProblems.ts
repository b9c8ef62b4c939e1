import * as v from "valibot";
import { nearest } from "../util/nearest.js";
import { oneLine } from "../util/oneLine.js";
import { type AnySchema, allPaths, type ConfigSchema, keysOf, schemaAt } from "./schemaTree.js";

/*
 * What a user is told of settings that do not fit.
 */

/** A sentence for everything that is wrong with `json`, from the issues that valibot found. */
export function problemsOf(
  schema: AnySchema,
  json: unknown,
  issues: readonly v.BaseIssue<unknown>[],
): string[] {
  const all = issues.flatMap((issue) => innerIssues(schema, json, issue));
  return [...new Set(all.map((issue) => problemOf(schema, json, issue)))];
}

/** A value as a message shows it: JSON, cut where it is long. */
export function showValue(value: unknown): string {
  const text = oneLine(JSON.stringify(value) ?? "nothing");
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
