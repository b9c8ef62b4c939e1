export { checkWeights, type Manifest, weightDifferences } from "./checkWeights.js";
export { openClipRules, transformersClipRules } from "./clipKeys.js";
export { type ClipModelFiles, loadClipModel } from "./clipModel.js";
export { FAMILY_TITLES, type Finding, findFamily, type ModelFamily } from "./families.js";
export { readTokenizer } from "./folder.js";
export {
  type ComponentSummary,
  type FileSummary,
  inspectFile,
  inspectModel,
  type Manifests,
  type ModelSummary,
  summarize,
  type TensorSummary,
} from "./inspect.js";
export { type Int8Weights, int8Weights, type OutputRanges, requireFinite } from "./int8.js";
export { type KeyMap, type KeyRule, keyMap, mapKeys, type Named, type View } from "./keyMap.js";
export {
  checkFit,
  familyOf,
  type LoadOptions,
  loadModelFiles,
  loadTextEncoder,
  loadVae,
  type TextEncoderFiles,
} from "./load.js";
export { predictionFromProbe, withPrediction } from "./prediction.js";
export { tokenizerFiles, tokenizerOf } from "./tokenizer.js";
export type {
  Component,
  IgnoredKeys,
  ModelFiles,
  Prediction,
  SamplingDefaults,
  TokenizerFiles,
} from "./types.js";
export { ldmUNetRules, type UNetLayout } from "./unetKeys.js";
export { diffusersVaeRules, ldmVaeRules, type VaeLayout } from "./vaeKeys.js";
export { findWeights, type WeightFiles } from "./weightFiles.js";
export {
  type ComponentToWrite,
  type WeightDType,
  writeComponent,
  writeWeights,
} from "./writeComponent.js";
export {
  type ClipModelToWrite,
  type ModelToWrite,
  writeClipModel,
  writeModelFolder,
  writeTextEncoder,
} from "./writeModel.js";
