export {
  formatParameters,
  type Parameters,
  type ParametersToWrite,
  parseParameters,
} from "./parameters.js";
export { encodePng, readPngText } from "./png.js";
export { readTensorFile } from "./readTensorFile.js";
export { readSafetensors } from "./safetensors.js";
export {
  encodeSafetensors,
  storedChunks,
  type TensorToWrite,
  writeSafetensors,
} from "./safetensorsWriter.js";
export { readSharded } from "./sharded.js";
export type { Sink, TensorFile } from "./tensorFile.js";
export { readTorchCheckpoint } from "./torchCheckpoint.js";
