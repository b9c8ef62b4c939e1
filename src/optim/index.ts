export type { EmaSpec, OptimizerSpec, ScheduleSpec } from "./spec.js";
