import type { Picture } from "../image/picture.js";
import { sceneOf } from "../postcards/scene.js";
import type { Scene } from "../postcards/world.js";
import { type Check, paintedChecks } from "./checks.js";
import type { Judge } from "./judge/read.js";

/** Seeds of fresh pictures: apart from those of every training and of the evaluation's prompts. */
const FRESH_SEEDS = 4_000_000_000;

/** Scenes that nothing was trained on, of the whole world. */
export function freshScenes(from: number, count: number): readonly Scene[] {
  return Array.from({ length: count }, (_, i) => sceneOf(FRESH_SEEDS + from + i));
}

/** What a judge says of fresh pictures from number `from` on, held against all there is in them. */
export async function freshChecks(
  judge: Judge,
  paint: (scene: Scene) => Picture,
  from: number,
  count: number,
): Promise<readonly (readonly Check[])[]> {
  const scenes = freshScenes(from, count);
  const { answers } = await judge.judge(scenes.map(paint));
  return scenes.map((scene, i) => paintedChecks(scene, answers[i]!));
}
