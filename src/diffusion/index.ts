export * from "./forward.js";
export * from "./guidance.js";
export { SCHEDULES, type ScheduleName } from "./ladder.js";
export * from "./parametrization.js";
export * from "./plan.js";
export * from "./registry.js";
export * from "./schedule.js";
export {
  fromConfig,
  PUBLISHED_SCHEDULER,
  parseSchedulerConfig,
  readSchedulerConfig,
  type SchedulerConfig,
  type SchedulerFile,
} from "./schedulerConfig.js";
export type * from "./types.js";
