export * from "./checkpoints.js";
export * from "./composites.js";
export * from "./dim.js";
export { type Array64, type Environment, evaluate } from "./evaluate.js";
export { type GradOptions, grad } from "./grad.js";
export * from "./graph.js";
export { deepestFirst, peakActivationBytes } from "./liveness.js";
export * from "./ops.js";
export * from "./value.js";
