import type { Metrics } from "../task.js";

/** Losses that the median is taken of. */
const WINDOW = 100;
/** With fewer before it, no loss is called exploding: trainings begin wildly. */
const LEAST = 20;

/** Watches a loss for the end of all hope. */
export interface LossGuard {
  /** What is wrong with a step's metrics; undefined when nothing is. */
  problem(metrics: Metrics): string | undefined;
}

/**
 * A guard that knows the losses of the steps before. A loss explodes when it is more than `factor`
 * times the median of the last 100 magnitudes; 0 lets any finite loss pass.
 */
export function lossGuard(factor: number, before: readonly number[]): LossGuard {
  const recent = before.slice(-WINDOW).map(Math.abs);
  return {
    problem(metrics) {
      for (const [name, value] of Object.entries(metrics)) {
        if (!Number.isFinite(value)) return `${name} is ${value}`;
      }
      const typical = median(recent);
      const { loss } = metrics;
      if (factor > 0 && typical > 0 && recent.length >= LEAST && loss > factor * typical) {
        const [now, usual] = [loss, typical].map((x) => x.toPrecision(4));
        return `loss is ${now}, more than ${factor} times what it usually was (${usual})`;
      }
      recent.push(Math.abs(loss));
      if (recent.length > WINDOW) recent.shift();
      return undefined;
    },
  };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return ((low ?? 0) + (high ?? 0)) / 2;
}
