import { TintypeError } from "../util/errors.js";

/** A JSON object. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** `value` as a JSON object. Throws "bad-file" naming `file` when it is none. */
export function jsonObject(value: unknown, file: string): JsonObject {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as JsonObject;
  }
  throw new TintypeError("bad-file", `${file}: expected a JSON object, got ${show(value)}.`);
}

/** A value as messages show it, cut where it is long. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** Typed options of one config.json. Absent and null options take the fallback. */
export interface ConfigReader {
  readonly file: string;
  /** A whole number from `least` (1 when not given) to 65536. */
  int(key: string, fallback: number, least?: number): number;
  /** A number of layers, from 1 to 256. */
  layers(key: string, fallback: number): number;
  number(key: string, fallback: number): number;
  bool(key: string, fallback: boolean): boolean;
  text(key: string, fallback: string): string;
  oneOf<T extends string>(key: string, choices: readonly T[], fallback: T): T;
  strings(key: string, fallback: readonly string[]): readonly string[];
  ints(key: string, fallback: readonly number[]): readonly number[];
  /** One whole number from 1 to 65536 a level, or one for all levels. */
  perLevel(key: string, levels: number, fallback: number): readonly number[];
  /** A number of layers, from 1 to 256, a level, or one for all levels. */
  layersPerLevel(key: string, levels: number, fallback: number): readonly number[];
  /** Throws "unsupported" for every option of `table` with a value that is not listed. */
  only(table: Readonly<Record<string, readonly unknown[]>>): void;
  /** Options of the file that nothing has asked for. */
  unread(): readonly string[];
}

/** Far beyond any model, and small enough that nothing takes forever to lay out. */
const MOST = 65536;
const MOST_LAYERS = 256;
const MOST_LEVELS = 16;

function isInt(value: unknown, least: number, most = MOST): value is number {
  return Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
}

/** Reads the options of `json`, whose file messages call `file`. */
export function configReader(json: JsonObject, file: string): ConfigReader {
  const read = new Set<string>();
  const get = (key: string): unknown => {
    read.add(key);
    return Object.hasOwn(json, key) ? json[key] : undefined;
  };
  const wrong = (key: string, expected: string): TintypeError =>
    new TintypeError("bad-file", `${file}: ${key}: expected ${expected}, got ${show(json[key])}.`);

  /** The value as `is` takes it, or the fallback. */
  function typed<T>(key: string, fallback: T, expected: string, is: (v: unknown) => boolean): T {
    const value = get(key) ?? fallback;
    if (!is(value)) throw wrong(key, expected);
    return value as T;
  }

  const listOf = (is: (v: unknown) => boolean) => (v: unknown) =>
    Array.isArray(v) && v.length > 0 && v.length <= MOST_LEVELS && v.every(is);

  function perLevel(key: string, levels: number, fallback: number, most: number): number[] {
    const value = get(key) ?? fallback;
    const is = (v: unknown) => isInt(v, 1, most);
    if (is(value)) return Array<number>(levels).fill(value as number);
    if (listOf(is)(value) && (value as number[]).length === levels) return value as number[];
    throw wrong(key, `a whole number from 1 to ${most}, or ${levels} of them`);
  }

  return {
    file,
    int: (key, fallback, least = 1) =>
      typed(key, fallback, `a whole number from ${least} to ${MOST}`, (v) => isInt(v, least)),
    layers: (key, fallback) =>
      typed(key, fallback, `a whole number from 1 to ${MOST_LAYERS}`, (v) =>
        isInt(v, 1, MOST_LAYERS),
      ),
    number: (key, fallback) => typed(key, fallback, "a number", Number.isFinite),
    bool: (key, fallback) => typed(key, fallback, "true or false", (v) => typeof v === "boolean"),
    text: (key, fallback) => typed(key, fallback, "a text", (v) => typeof v === "string"),
    oneOf<T extends string>(key: string, choices: readonly T[], fallback: T): T {
      const value = get(key) ?? fallback;
      if (choices.includes(value as T)) return value as T;
      throw unsupported(file, key, value, choices);
    },
    strings: (key, fallback) =>
      typed(
        key,
        fallback,
        "a list of names",
        listOf((v) => typeof v === "string"),
      ),
    ints: (key, fallback) =>
      typed(
        key,
        fallback,
        "a list of whole numbers",
        listOf((v) => isInt(v, 1)),
      ),
    perLevel: (key, levels, fallback) => perLevel(key, levels, fallback, MOST),
    layersPerLevel: (key, levels, fallback) => perLevel(key, levels, fallback, MOST_LAYERS),
    only(table) {
      for (const [key, values] of Object.entries(table)) {
        const value = get(key);
        if (value === undefined || values.includes(value)) continue;
        throw unsupported(file, key, value, values);
      }
    },
    unread: () => Object.keys(json).filter((key) => !read.has(key)),
  };
}

/** The error for an option whose value the models here cannot express. */
export function unsupported(
  file: string,
  key: string,
  value: unknown,
  choices: readonly unknown[],
): TintypeError {
  return new TintypeError(
    "unsupported",
    `${file}: ${key} is ${show(value)}, which this version does not run. ` +
      `Supported: ${choices.map(show).join(", ")}.`,
  );
}
