import * as v from "valibot";

/*
 * What schemas are made of, as far as defaults and messages need it.
 */

/** What a piece of settings may be, and what it becomes. */
export type ConfigSchema<T> = v.GenericSchema<unknown, T>;

/** What valibot's schemas have that lead to others. */
export interface AnySchema {
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
export function alternatives(schema: AnySchema, value: unknown): AnySchema[] {
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

/** The schemas that may hold at `path` of `value`. */
export function schemaAt(
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

/** The keys that objects of these schemas have. */
export const keysOf = (schemas: readonly AnySchema[]): string[] => [
  ...new Set(schemas.flatMap((s) => Object.keys(s.entries ?? {}))),
];

/** The path of every key below a schema. */
export function allPaths(schema: AnySchema, path: readonly string[] = []): string[] {
  return alternatives(schema, undefined).flatMap((s) =>
    Object.entries(s.entries ?? {}).flatMap(([key, inner]) => {
      const here = [...path, key];
      return [here.join("."), ...allPaths(inner, here)];
    }),
  );
}
