import { expect, test } from "vitest";
import {
  captionIds,
  cpuEngine,
  curve,
  derivedWeights,
  expectToFollow,
  pictures,
  STEPS,
} from "../../../test/training/support.js";
import { CLIP_L_TEXT, type ClipConfig } from "../../models/clip/config.js";
import { LOGIT_SCALE_LIMIT, LOGIT_SCALE_START } from "../../models/clip/dual.js";
import { full, type Tensor, tensor } from "../../tensor/tensor.js";
import { clipParameters, type Weights } from "../weights.js";
import { type ClipBatch, type ClipSettings, clipTrainer } from "./trainer.js";

const TOWER = {
  hiddenSize: 32,
  intermediateSize: 64,
  layers: 2,
  heads: 4,
  activation: "quick_gelu",
  layerNormEps: 1e-5,
} as const;

const MODEL: ClipConfig = {
  text: { ...CLIP_L_TEXT, ...TOWER, vocabSize: 64, maxPositions: 12 },
  vision: { ...TOWER, imageSize: 16, patchSize: 4 },
  projectionDim: 24,
};

const SETTINGS: ClipSettings = {
  steps: 100,
  optimizer: { kind: "adamw", weightDecay: 0.01 },
  learningRate: { peak: 3e-4, warmup: 0, schedule: "constant" },
  clip: 1,
  ema: null,
  recompute: false,
};

function start(logScale: number): Weights {
  const weights = derivedWeights("train.clip", clipParameters(MODEL).values());
  return new Map([...weights, ["logit_scale", full([], logScale)]]);
}

function batch(name: string, side = 16): ClipBatch {
  const ids = captionIds(name, 8, 12);
  const ends = Float32Array.from({ length: 8 }, (_, i) => ids.data.indexOf(63, 12 * i));
  return { images: pictures(name, 8, side, side), ids, ends: tensor([8], ends) };
}

test("100 steps follow PyTorch's losses", async () => {
  await using engine = cpuEngine();
  await using trainer = await clipTrainer(
    SETTINGS,
    engine.training,
    MODEL,
    start(LOGIT_SCALE_START),
  );
  const losses: number[] = [];
  for (let step = 0; step < STEPS; step++) {
    losses.push((await trainer.run(batch(`clip.${step % 10}`))).loss);
    await trainer.update(step);
  }
  expectToFollow(losses, curve("clip", "clip"));
});

test("the scale of the logits stops at 100, and can come back", async () => {
  await using engine = cpuEngine();
  const beyond = LOGIT_SCALE_LIMIT + 0.5;
  const high = await clipTrainer(SETTINGS, engine.training, MODEL, start(beyond));
  const limit = await clipTrainer(SETTINGS, engine.training, MODEL, start(LOGIT_SCALE_LIMIT));
  const logits: Tensor[] = [];
  const scales: number[] = [];
  for (const trainer of [high, limit]) {
    await using _ = trainer;
    logits.push((await trainer.run(batch("limit"))).logits);
    await trainer.update(0);
    scales.push((await trainer.store.read("params")).get("logit_scale")!.data[0]!);
  }
  expect(
    Math.max(...logits[0]!.data.map((x, i) => Math.abs(x - logits[1]!.data[i]!))),
  ).toBeLessThan(1e-4);
  expect(scales[0]).toBeCloseTo(scales[1]!, 6);
  // With wrong answers at such a scale, less of it is better.
  expect(scales[0]).toBeLessThan(LOGIT_SCALE_LIMIT);
});

test("larger pictures are averaged to the encoder's size", async () => {
  await using engine = cpuEngine();
  await using trainer = await clipTrainer(SETTINGS, engine.training, MODEL, start(0));
  const small = batch("size");
  const large = { ...small, images: doubled(small.images) };
  const [a, b] = [await trainer.run(small), await trainer.run(large)];
  expect(b.loss).toBeCloseTo(a.loss, 5);
});

/** Every pixel as four. */
function doubled({ shape, data }: Tensor): Tensor {
  const [b, c, h, w] = shape as [number, number, number, number];
  const out = Float32Array.from({ length: 4 * data.length }, (_, i) => {
    const [x, y, plane] = [
      i % (2 * w),
      Math.floor(i / (2 * w)) % (2 * h),
      Math.floor(i / (4 * w * h)),
    ];
    return data[(plane * h + (y >> 1)) * w + (x >> 1)]!;
  });
  return tensor([b, c, 2 * h, 2 * w], out);
}
