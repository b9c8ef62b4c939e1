export type { CanvasFactory, Context2D, Gradient } from "./canvas.js";
export {
  askingCaption,
  CAPTION_TOKENS,
  type Caption,
  captionOf,
  fullPrompt,
  type Said,
  type SaidGroup,
} from "./caption.js";
export { EVALUATION_SEEDS, type EvaluationPrompt, evaluationPrompts } from "./evaluation.js";
export { type Combination, HELD_OUT, hasCombination, isHeldOut } from "./heldOut.js";
export { layoutOf, type Placed, POSTCARD_SIZE } from "./layout.js";
export { paintPostcard, paintScene } from "./paint.js";
export { heldOutScene, sceneOf, trainingScene } from "./scene.js";
export { captionMerges, captions } from "./vocabulary.js";
export * from "./world.js";
