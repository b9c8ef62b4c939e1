import { writeClipModel } from "../../checkpoints/index.js";
import type { ClipConfig } from "../../models/clip/config.js";
import { tokensOf } from "../../pipelines/clipScore.js";
import type { Platform } from "../../platform/types.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { Tokenizer } from "../../text/index.js";
import { counted } from "../../util/counted.js";
import { check } from "../../util/errors.js";
import { opening } from "../../util/opening.js";
import { batchedTask } from "../batchedTask.js";
import { openData } from "../data/index.js";
import { learned } from "../learner.js";
import { checkHeads } from "../modelConfig.js";
import type { Task, TaskContext, TaskKind } from "../task.js";
import { type NamedTokenizer, tokenizerNamed } from "../tokenizer.js";
import { clipParameters, initialWeights } from "../weights.js";
import { type ClipTrainingConfig, clipTrainingSchema } from "./config.js";
import { clipTrainer } from "./trainer.js";

/** Training of a text and an image encoder by contrast. */
export const clip: TaskKind<ClipTrainingConfig> = {
  name: "clip",
  schema: clipTrainingSchema,
  open: openClip,
};

/**
 * Opens the training of CLIP from random weights. The metrics of a step are loss, the share of texts
 * that find their picture, and the scale of the logits; its product is a CLIPModel in `clip/`, whose
 * text encoder stands in `text_encoder/` with `tokenizer/` too. Throws what data and tokenizer do.
 */
export function openClip(config: ClipTrainingConfig, context: TaskContext): Promise<Task> {
  return opening(async (use) => {
    const named = await tokenizerNamed("model.tokenizer", config.model.tokenizer, context);
    const { encode, maxLength } = named.tokenizer;
    const model = clipConfigFor(config, named.tokenizer);
    const data = use(await openData(config.data, { ...context, ...config }));
    checkPictures(data.sizes, model.vision.imageSize);
    if (data.size !== undefined && data.size < config.batchSize) {
      context.notice(
        `data: ${counted(data.size, "picture is", "pictures are")} fewer than a batch of ${config.batchSize}, in which some come ` +
          "twice and count as wrong answers to their own captions. Lower batchSize, or add pictures.",
      );
    }
    const weights = initialWeights(clipParameters(model).values(), config.seed);
    const { engine, platform } = context;
    const free = () => platform.availableMemory();
    const trainer = use(await clipTrainer(config, engine.training, model, weights, free));
    return batchedTask({
      data,
      trainer,
      batchSize: config.batchSize,
      async run({ images, captions }) {
        const tokens = tokensOf(captions.map(encode), maxLength);
        const { loss, logits, logScale } = await trainer.run({ images, ...tokens });
        return { loss, found: foundShare(logits), scale: Math.exp(logScale) };
      },
      export: async (folder: string) => {
        const trained = { config: model, weights: await learned(trainer.store) };
        await writeProduct(platform, folder, trained, named, config);
      },
      samples: async () => [],
    });
  });
}

function clipConfigFor({ model }: ClipTrainingConfig, tokenizer: Tokenizer): ClipConfig {
  const { text, vision, projectionDim } = model;
  checkHeads("model.text", text);
  checkHeads("model.vision", vision);
  check(
    vision.imageSize % vision.patchSize === 0,
    "bad-argument",
    `model.vision: an imageSize of ${vision.imageSize} does not divide into patches of ${vision.patchSize}.`,
  );
  const { vocabSize, maxLength } = tokenizer;
  return { text: { ...text, vocabSize, maxPositions: maxLength }, vision, projectionDim };
}

function checkPictures(sizes: readonly (readonly [number, number])[], side: number): void {
  const odd = sizes.find(([width, height]) => width !== height || width % side !== 0);
  check(
    odd === undefined,
    "bad-argument",
    `data: pictures of ${odd?.join("x")} are not squares of a multiple of ${side} pixels, which is ` +
      "model.vision.imageSize. Set the data's resolution, and buckets to false.",
  );
}

/** Share of texts whose own picture has the highest logit. */
function foundShare({ shape, data }: Tensor): number {
  const n = shape[0]!;
  let found = 0;
  for (let i = 0; i < n; i++) {
    const row = data.subarray(i * n, (i + 1) * n);
    if (row.every((x, j) => j === i || x < row[i]!)) found++;
  }
  return found / n;
}

async function writeProduct(
  { files }: Platform,
  folder: string,
  trained: Parameters<typeof writeClipModel>[2]["model"],
  { files: tokenizerFiles, tokenizer }: NamedTokenizer,
  { dtype }: ClipTrainingConfig,
): Promise<void> {
  const [start, end] = tokenizer.encode("").ids;
  const tokens = { start: start!, end: end! };
  await writeClipModel(files, folder, { model: trained, tokenizer: tokenizerFiles, tokens }, dtype);
}
