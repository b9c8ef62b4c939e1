import { askingCaption, type Said } from "./caption.js";
import { heldOutScene } from "./scene.js";
import type { Scene } from "./world.js";

/** The seeds from here on are for measuring: no training takes them. */
export const EVALUATION_SEEDS: number = 2 ** 31;

/** A prompt, and what a picture made for it must show: what the prompt leaves open is undefined. */
export interface EvaluationPrompt {
  readonly prompt: string;
  readonly expected: Said;
  /** A scene that the prompt is true of. */
  readonly scene: Scene;
}

/** `n` prompts, always the same, of scenes whose combinations no training scene has. */
export function evaluationPrompts(n: number): readonly EvaluationPrompt[] {
  return Array.from({ length: n }, (_, i) => {
    const scene = heldOutScene(EVALUATION_SEEDS + i);
    const { text, says } = askingCaption(scene, scene.seed);
    return { prompt: text, expected: says, scene };
  });
}
