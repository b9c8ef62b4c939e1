export * from "./convert.js";
export * from "./dtype.js";
export * from "./elementwise.js";
export {
  type CudaNoiseOptions,
  cudaNoise,
  type NoiseSource,
  randnBatch,
  torchCpuNoise,
} from "./random.js";
export { type StoredTensor, type StoredTensors, storedInMemory } from "./stored.js";
export * from "./tensor.js";
