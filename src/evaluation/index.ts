export {
  type Accuracy,
  ATTRIBUTES,
  type Attribute,
  accuracyOf,
  type Check,
  checksOf,
  everythingSaid,
} from "./checks.js";
export {
  type EvaluatedPicture,
  type Evaluation,
  type EvaluationOptions,
  type EvaluationProgress,
  evaluate,
  evaluatePrompts,
  type PromptOptions,
  type PromptResults,
} from "./evaluate.js";
export { frechetDistance, type Gaussian, gaussianOf } from "./frechet.js";
export { freshChecks, freshScenes } from "./fresh.js";
export { openJudge } from "./judge/files.js";
export type { Judge, Judged } from "./judge/read.js";
export { psnr, ssim } from "./pictureQuality.js";
export { type Answers, NO_ANSWER } from "./questions.js";
export { evaluationJson, htmlReport, type ReportOptions } from "./report.js";
