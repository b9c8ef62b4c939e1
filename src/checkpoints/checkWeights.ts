import { TintypeError } from "../util/errors.js";
import type { Component } from "./types.js";

/** Parameters that a model asks for: canonical name -> shape. */
export type Manifest = ReadonlyMap<string, readonly number[]>;

/** How a component's weights differ from what its model asks for. */
export interface WeightDifferences {
  readonly missing: readonly string[];
  readonly surplus: readonly string[];
  readonly wrongShape: readonly string[];
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((d, i) => d === b[i]);
}

/** Compares names and shapes. */
export function weightDifferences(
  expected: Manifest,
  { weights }: Pick<Component<unknown>, "weights">,
): WeightDifferences {
  const names = [...expected.keys()];
  return {
    missing: names.filter((name) => !weights.has(name)),
    surplus: [...weights.keys()].filter((name) => !expected.has(name)),
    wrongShape: names.filter((name) => {
      const found = weights.get(name);
      return found !== undefined && !sameShape(expected.get(name)!, found.shape);
    }),
  };
}

/** `2 missing ("a", "b")`, naming at most three. */
function listed(kind: string, names: readonly string[], show: (name: string) => string): string[] {
  if (names.length === 0) return [];
  const more = names.length > 3 ? ", ..." : "";
  return [`${names.length} ${kind} (${names.slice(0, 3).map(show).join(", ")}${more})`];
}

/**
 * Throws "mismatch" unless the weights of `what` (such as "UNet") are exactly those that its model
 * asks for, in name and shape; the message names the file and the first keys of each kind.
 */
export function checkWeights(
  expected: Manifest,
  component: Pick<Component<unknown>, "weights" | "file" | "fileKey">,
  what: string,
): void {
  const { missing, surplus, wrongShape } = weightDifferences(expected, component);
  const key = (name: string) => `"${component.fileKey(name)}"`;
  const shapes = (name: string) =>
    `${key(name)} expected [${expected.get(name)!.join(", ")}], ` +
    `got [${component.weights.get(name)!.shape.join(", ")}]`;
  const wrong = [
    ...listed("missing", missing, key),
    ...listed("not expected", surplus, key),
    ...listed("of another shape", wrongShape, shapes),
  ];
  if (wrong.length === 0) return;
  throw new TintypeError(
    "mismatch",
    `${component.file}: the weights do not fit the ${what}, which has ${expected.size} tensors: ` +
      `${wrong.join("; ")}. The file is damaged or of another architecture, or the config is not its own.`,
  );
}
