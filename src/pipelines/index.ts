export {
  type CalibrationOptions,
  type CalibrationProgress,
  calibrate,
} from "./calibrate.js";
export { THOROUGH_CALIBRATION } from "./calibrationPlans.js";
export { type ClipScorer, openClipScorer } from "./clipScore.js";
export {
  DEFAULT_GUIDANCE_SCALE,
  DEFAULT_STEPS,
  type Defaults,
} from "./defaults.js";
export { defaultsOf } from "./defaultsOf.js";
export { imageToImage } from "./imageToImage.js";
export { inpaint } from "./inpaint.js";
export { type Int8Mode, type Int8Ranges, type WeightLimit, weightLimit } from "./int8.js";
export { type MemoryPrediction, predictMemory, type RunSize, weightBytes } from "./memory.js";
export {
  type DiffusionModel,
  type EncodedPrompts,
  type OpenOptions,
  openModel,
} from "./model.js";
export { PART_TITLES, type Part } from "./parts.js";
export type { Predict } from "./predictor.js";
export { rememberingPrompts } from "./promptMemory.js";
export { openRanges, rangesPath, readRanges, writeRanges } from "./rangeFiles.js";
export type {
  GenerationRequest,
  ImageToImageRequest,
  InpaintRequest,
  Settings,
} from "./request.js";
export {
  finish,
  type Generated,
  type Generation,
  type GenerationStep,
  type Timings,
} from "./run.js";
export {
  DEEP_CACHE_POWER,
  type DeepCache,
  type ShortcutRequest,
  type Shortcuts,
} from "./shortcuts.js";
export { textToImage } from "./textToImage.js";
export type { TiledRun } from "./tiledVae.js";
export {
  DEFAULT_TILES,
  type TileProgress,
  type Tiles,
  type TileWish,
  type Tiling,
  type TilingSettings,
} from "./tiling.js";
