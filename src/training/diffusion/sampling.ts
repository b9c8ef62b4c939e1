import { openModel } from "../../pipelines/model.js";
import { finish } from "../../pipelines/run.js";
import { textToImage } from "../../pipelines/textToImage.js";
import type { Engine } from "../../runtime/engine.js";
import { storedInMemory } from "../../tensor/stored.js";
import type { Sample } from "../task.js";
import { below, type Weights } from "../weights.js";
import type { DiffusionConfig } from "./config.js";
import { type DiffusionParts, modelFiles } from "./parts.js";

/** A picture of every prompt for every seed, by the model with these trained weights. */
export async function samplePictures(
  {
    samples,
    sampling,
    conditioning,
  }: Pick<DiffusionConfig, "samples" | "sampling" | "conditioning">,
  engine: Engine,
  parts: DiffusionParts,
  learned: Weights,
): Promise<Sample[]> {
  const prompts = conditioning === "none" ? [""] : samples.prompts;
  await using model = await openModel(modelFiles(parts, trainedParts(parts, learned)), { engine });
  const { steps, sampler } = sampling;
  const guidanceScale = conditioning === "none" ? 1 : sampling.guidanceScale;
  const made: Sample[] = [];
  for (const prompt of prompts) {
    for (const seed of samples.seeds) {
      const request = { prompt, seed, steps, guidanceScale, sampler };
      const { pictures } = await finish(textToImage(model, request));
      made.push(...pictures.map((picture) => ({ caption: prompt, picture })));
    }
  }
  return made;
}

/** The trained weights of each network; its own where it is not trained. */
function trainedParts(
  { text }: DiffusionParts,
  learned: Weights,
): Parameters<typeof modelFiles>[1] {
  const trained = below(learned, "text_encoder");
  return {
    unet: storedInMemory(below(learned, "unet")),
    text: trained.size > 0 ? storedInMemory(trained) : text.weights,
  };
}
