/*
 * Where things lie in the folder of a run:
 *
 *   config.json               every setting, defaults included
 *   metrics.jsonl             a line for each step
 *   events.out.tfevents.*     the same for TensorBoard
 *   plots/loss.png            a curve for each metric
 *   samples/step-000500.png   pictures made on the way
 *   checkpoints/step-000500/  what the run needs to go on from there
 *   model/                    what was trained
 */

export const CONFIG = "config.json";
export const METRICS = "metrics.jsonl";
export const PLOTS = "plots";
export const SAMPLES = "samples";
export const CHECKPOINTS = "checkpoints";
export const MODEL = "model";
export const LOCK = ".lock";

/** 500 -> "step-000500" */
export function stepName(step: number): string {
  return `step-${String(step).padStart(6, "0")}`;
}

/** "step-000500" -> 500; undefined for other names. */
export function stepOf(name: string): number | undefined {
  const digits = /^step-(\d{6,})$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
