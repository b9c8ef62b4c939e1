import type { ScheduleSpec } from "./spec.js";

/**
 * The learning rate of optimizer step `step`, counted from 0. Source: diffusers.optimization; after the
 * last step, where its cosine would rise again, the rate stays 0.
 */
export function learningRateAt(schedule: ScheduleSpec, step: number): number {
  const { learningRate, warmup = 0 } = schedule;
  if (step < warmup) return learningRate * (step / warmup);
  if (schedule.kind === "constant") return learningRate;
  const progress = (step - warmup) / Math.max(1, schedule.steps - warmup);
  if (progress >= 1) return 0;
  return (
    learningRate *
    (schedule.kind === "linear" ? 1 - progress : 0.5 * (1 + Math.cos(Math.PI * progress)))
  );
}
