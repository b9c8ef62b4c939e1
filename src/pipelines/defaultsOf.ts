import type { ModelFiles } from "../checkpoints/index.js";
import { resolveSampler } from "../diffusion/index.js";
import { TintypeError } from "../util/errors.js";
import { DEFAULT_GUIDANCE_SCALE, DEFAULT_STEPS, type Defaults } from "./defaults.js";

/** What a model's files recommend, completed. Throws "bad-file" for a sampler that there is not. */
export function defaultsOf({
  name,
  defaults = {},
}: Pick<ModelFiles, "name" | "defaults">): Defaults {
  const { steps = DEFAULT_STEPS, guidanceScale = DEFAULT_GUIDANCE_SCALE, sampler } = defaults;
  try {
    if (sampler !== undefined) resolveSampler(sampler);
  } catch (error) {
    if (!(error instanceof TintypeError)) throw error;
    const message = `${name}/model_index.json: _tintype: ${error.message}`;
    throw new TintypeError("bad-file", message, { cause: error });
  }
  return { steps, guidanceScale, sampler };
}
