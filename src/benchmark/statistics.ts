import { invariant } from "../util/errors.js";

/** What several measurements of one thing come to. */
export interface Summary {
  readonly count: number;
  readonly median: number;
  /** First and third quartile: half of the measurements lie between them. */
  readonly q1: number;
  readonly q3: number;
}

/**
 * The p-quantile of measurements, p in [0, 1], linear between neighbours. Source: Hyndman and Fan 1996,
 * definition 7, which numpy.quantile takes by default.
 */
export function quantile(values: readonly number[], p: number): number {
  invariant(values.length > 0, "a quantile of nothing");
  const sorted = [...values].sort((a, b) => a - b);
  const at = p * (sorted.length - 1);
  const below = sorted[Math.floor(at)]!;
  return below + (at - Math.floor(at)) * (sorted[Math.ceil(at)]! - below);
}

/** The middle one, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Median and quartiles of at least one measurement. */
export function summarize(values: readonly number[]): Summary {
  return {
    count: values.length,
    median: median(values),
    q1: quantile(values, 0.25),
    q3: quantile(values, 0.75),
  };
}

/** How far half of the measurements lie from the median, as a share of it. */
export function spread({ median, q1, q3 }: Summary): number {
  return median === 0 ? 0 : (q3 - q1) / 2 / median;
}
