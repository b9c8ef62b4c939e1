import type { TrainStep } from "../../src/node.js";
import type { TrainingProgress } from "../progress.js";

/** Steps that the shown numbers are a mean of, about. */
const SPAN = 20;

/** Numbers of a training that do not jump from step to step. */
export function pace(): (step: TrainStep) => TrainingProgress {
  const loss = smooth();
  const seconds = smooth();
  const examples = smooth();
  return ({ step, steps, metrics, ...last }) => {
    const each = seconds(last.seconds);
    const seen = examples(last.examplesPerSecond * last.seconds);
    return {
      step,
      steps,
      loss: loss(metrics.loss),
      samplesPerSecond: seen / each,
      left: 1000 * each * (steps - step),
    };
  };
}

/** An exponential mean without the bias of its beginning. */
function smooth(): (value: number) => number {
  let [mean, weight] = [0, 0];
  return (value) => {
    mean += (value - mean) / SPAN;
    weight += (1 - weight) / SPAN;
    return mean / weight;
  };
}
