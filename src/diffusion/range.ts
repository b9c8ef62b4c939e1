import { TintypeError } from "../util/errors.js";

/** Throws "bad-argument" unless `value` is a number in [min, max]; `hint` says why, or what to do. */
export function requireRange(
  what: string,
  value: number,
  min: number,
  max: number,
  hint = "",
): void {
  if (value >= min && value <= max) return;
  const message = `${what}: expected ${min} to ${max}, got ${value}.${hint}`;
  throw new TintypeError("bad-argument", message);
}
