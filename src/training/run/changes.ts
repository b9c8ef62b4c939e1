import { CHANGEABLE } from "../config.js";
import { showValue } from "../schemaProblems.js";

/** A setting that is not what it was. */
export interface Change {
  /** Its path: "optimizer.weightDecay". */
  readonly key: string;
  readonly from: unknown;
  readonly to: unknown;
}

type Section = Readonly<Record<string, unknown>>;

const isSection = (value: unknown): value is Section =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Every setting that differs, lists as a whole. */
export function changesBetween(from: unknown, to: unknown, key = ""): Change[] {
  if (isSection(from) && isSection(to)) {
    const names = new Set([...Object.keys(from), ...Object.keys(to)]);
    return [...names].flatMap((name) =>
      changesBetween(from[name], to[name], key === "" ? name : `${key}.${name}`),
    );
  }
  return JSON.stringify(from) === JSON.stringify(to) ? [] : [{ key, from, to }];
}

/** Whether a run may go on after this change. */
export function mayChange({ key }: Change): boolean {
  return CHANGEABLE.some((free) => key === free || key.startsWith(`${free}.`));
}

/** `steps: from 100 to 200` */
export function showChange({ key, from, to }: Change): string {
  return `${key}: from ${showValue(from)} to ${showValue(to)}`;
}
