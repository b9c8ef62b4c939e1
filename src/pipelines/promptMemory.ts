import { concatBatch, sliceBatch } from "../tensor/elementwise.js";
import type { Tensor } from "../tensor/tensor.js";
import type { DiffusionModel } from "./model.js";

/** A prompt as the UNet takes it. */
interface Known {
  readonly hidden: Tensor;
  readonly truncated: string | undefined;
}

/** Some hundred kilobytes each. */
const REMEMBERED = 16;

/**
 * The same model, remembering its last prompts: batches of one prompt need the text encoder once, and
 * may free it then.
 */
export function rememberingPrompts(model: DiffusionModel): DiffusionModel {
  const memory = new Map<string, Known>();
  return {
    ...model,
    async encodePrompts(prompts) {
      const known = new Map(
        prompts.flatMap((p): [string, Known][] => (memory.has(p) ? [[p, memory.get(p)!]] : [])),
      );
      const fresh = [...new Set(prompts)].filter((prompt) => !known.has(prompt));
      if (fresh.length > 0) {
        const { hidden, truncated } = await model.encodePrompts(fresh);
        for (const [i, prompt] of fresh.entries())
          known.set(prompt, { hidden: sliceBatch(hidden, i, 1), truncated: truncated[i] });
      }
      for (const [prompt, one] of known) {
        memory.delete(prompt); // what was used last goes last
        memory.set(prompt, one);
      }
      for (const prompt of [...memory.keys()].slice(0, -REMEMBERED)) memory.delete(prompt);
      return {
        hidden: concatBatch(prompts.map((prompt) => known.get(prompt)!.hidden)),
        truncated: prompts.map((prompt) => known.get(prompt)!.truncated),
      };
    },
  };
}
