import type { DiffusionModel } from "../pipelines/model.js";
import { canvasContext } from "../platform/node/canvas.js";
import { packageRoot } from "../platform/node/packageRoot.js";
import { nodePlatform } from "../platform/node/platform.js";
import type { Platform } from "../platform/types.js";
import { paintPostcard } from "../postcards/paint.js";
import { nodeEngine } from "../runtime/node/engine.js";
import {
  type Evaluation,
  type EvaluationOptions,
  type EvaluationProgress,
  evaluate,
} from "./evaluate.js";
import { openJudge } from "./judge/files.js";

/** How a model is measured on this machine. */
export interface EvaluateModelOptions extends Omit<EvaluationOptions, "paint" | "prompts"> {
  /** Prompts, a picture each, at least 2; 200 by default. */
  readonly prompts?: number | undefined;
  /** Folder of the judge; the one that comes with Tintype by default. */
  readonly judge?: string | undefined;
  /** Threads of the judge; all physical cores by default. */
  readonly threads?: number | undefined;
  readonly platform?: Platform | undefined;
}

const PROMPTS = 200;

/**
 * Measures a model that draws postcards; see `evaluate`. The judge runs on the CPU. Yields on the way,
 * returns what was measured.
 */
export async function* evaluateModel(
  model: DiffusionModel,
  options: EvaluateModelOptions = {},
): AsyncGenerator<EvaluationProgress, Evaluation, undefined> {
  const { platform = nodePlatform(), threads, prompts = PROMPTS } = options;
  const folder = await platform.openFolder(options.judge ?? defaultJudge());
  await using engine = nodeEngine({ platform, device: "cpu", threads });
  await using judge = await openJudge(folder, engine);
  return yield* evaluate(model, judge, {
    ...options,
    prompts,
    fresh: options.fresh ?? freshCounts(prompts),
    paint: (scene) => paintPostcard(scene, canvasContext),
  });
}

/** Folder of the judge that comes with this package. */
export function defaultJudge(): string {
  return `${packageRoot()}/models/postcards-judge`;
}

/** Fresh pictures beside so many prompts: enough to trust the numbers, few for a quick look. */
function freshCounts(prompts: number): { readonly judge: number; readonly autoencoder: number } {
  return {
    judge: Math.min(2000, Math.max(40, 10 * prompts)),
    autoencoder: Math.min(128, Math.max(8, prompts)),
  };
}
