export type { RunConfig } from "./config.js";
export { KINDS } from "./kinds.js";
export type { MakeCanvas } from "./run/canvas.js";
export { readRunConfig } from "./run/folder.js";
export { withSettings } from "./run/settings.js";
export type { Metrics, Sample, Task, TaskContext, TaskKind, TaskState } from "./task.js";
export {
  type ConfigSource,
  exportRun,
  type TrainOptions,
  type TrainStep,
  train,
} from "./train.js";
