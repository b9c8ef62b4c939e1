export { type Kernels, PLAIN_KERNELS } from "./kernels.js";
export { type Memory, takeMemory } from "./memory.js";
export { learningRateAt } from "./schedule.js";
export type { EmaSpec, OptimizerSpec, ScheduleSpec } from "./spec.js";
export { chain, firstStep, type Parameter, type Step, type Transform } from "./transform.js";
export {
  adam,
  adamw,
  clipByGlobalNorm,
  ema,
  emaDecayAt,
  lion,
  optimizer,
  sgd,
  type UpdateSpec,
  updateChain,
} from "./transforms.js";
