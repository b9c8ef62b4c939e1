export type { RunConfig } from "./config.js";
export { KINDS } from "./kinds.js";
export type { MakeCanvas } from "./run/canvas.js";
export { readRunConfig } from "./run/folder.js";
export { withSettings } from "./run/settings.js";
export {
  type Metrics,
  readPart,
  type Sample,
  type StatePart,
  type Task,
  type TaskContext,
  type TaskKind,
  type TaskState,
} from "./task.js";
export {
  type ConfigSource,
  exportRun,
  type TrainOptions,
  type TrainStep,
  train,
} from "./train.js";
