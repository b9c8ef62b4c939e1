import { describe, expect, test } from "vitest";
import {
  captionIds,
  cpuEngine,
  curve,
  derivedWeights,
  expectToFollow,
  noise,
  pictures,
  STEPS,
  whole,
} from "../../../test/training/support.js";
import { CLIP_L_TEXT, type ClipTextConfig } from "../../models/clip/config.js";
import { SD1_UNET, type UNetConfig } from "../../models/unet/config.js";
import { SD_VAE } from "../../models/vae/config.js";
import { textGraph } from "../../pipelines/graphs.js";
import { lookUpTokens } from "../../pipelines/textEmbedding.js";
import type { Engine } from "../../runtime/engine.js";
import { storedInMemory } from "../../tensor/stored.js";
import { type Tensor, tensor, zeros } from "../../tensor/tensor.js";
import { textParameters, unetParameters } from "../weights.js";
import { minSnrWeight } from "./loss.js";
import { withOffset } from "./noise.js";
import { type DiffusionSettings, diffusionTrainer, type TrainedParts } from "./trainer.js";

const TEXT: ClipTextConfig = {
  ...CLIP_L_TEXT,
  vocabSize: 64,
  hiddenSize: 32,
  intermediateSize: 64,
  layers: 2,
  heads: 4,
  maxPositions: 12,
};

const UNET: UNetConfig = {
  ...SD1_UNET,
  sampleSize: 8,
  blocks: ["crossAttention", "resnet"],
  blockOutChannels: [16, 32],
  layersPerBlock: 1,
  heads: [4, 4],
  transformerLayers: [1, 1],
  crossAttentionDim: 32,
  normNumGroups: 8,
};

const textWeights = () =>
  storedInMemory(derivedWeights("train.text", textParameters(TEXT).values()));

function parts(prediction: TrainedParts["prediction"]): TrainedParts {
  return {
    unet: {
      config: UNET,
      weights: storedInMemory(derivedWeights("train.unet", unetParameters(UNET).values())),
    },
    text: { config: TEXT, weights: textWeights() },
    vae: { config: { ...SD_VAE, scalingFactor: 1 }, weights: new Map() },
    scheduler: {
      _class_name: "DDIMScheduler",
      beta_start: 0.00085,
      beta_end: 0.012,
      beta_schedule: "scaled_linear",
      num_train_timesteps: 1000,
    },
    prediction,
  };
}

function settings(train: boolean, minSnr: number | null, recompute = false): DiffusionSettings {
  return {
    steps: 100,
    minSnr,
    text: { train, rate: 1 },
    optimizer: { kind: "adamw", weightDecay: 0.01 },
    learningRate: { peak: 1e-3, warmup: 0, schedule: "constant" },
    clip: 1,
    ema: null,
    recompute,
  };
}

/** Moments of latents that are certain: waves, the first of them twice. */
function certain(name: string): Tensor {
  const { data } = pictures(name, 4, 8, 8);
  const out = zeros([4, 8, 8, 8]);
  for (let b = 0; b < 4; b++) {
    const rgb = data.subarray(b * 192, (b + 1) * 192);
    out.data.set(rgb, b * 512);
    out.data.set(rgb.subarray(0, 64), b * 512 + 192);
    out.data.fill(-30, b * 512 + 256, (b + 1) * 512);
  }
  return out;
}

/** The frozen text encoder, outside of the training. */
async function frozenText(engine: Engine): Promise<(ids: Tensor) => Promise<Tensor>> {
  const weights = textWeights();
  const program = await engine.load(textGraph(TEXT), weights, { label: "text encoder" });
  const table = weights.get("embeddings.token_embedding.weight")!;
  return async ({ data }) => {
    const rows = Array.from({ length: 4 }, (_, i) =>
      Int32Array.from(data.subarray(12 * i, 12 * i + 12)),
    );
    return (await program.run({ tokens: await lookUpTokens(table, rows, "text") })).hidden!;
  };
}

async function losses(
  prediction: TrainedParts["prediction"],
  config: DiffusionSettings,
  { offset = 0, steps = STEPS }: { offset?: number; steps?: number } = {},
): Promise<number[]> {
  await using engine = cpuEngine();
  await using trainer = await diffusionTrainer(config, engine.training, parts(prediction));
  const encode = await frozenText(engine);
  const found: number[] = [];
  for (let step = 0; step < steps; step++) {
    const name = `diffusion.${step}`;
    const ids = captionIds(name, 4, 12);
    const plain = noise(name, 4, 4, 8, 8);
    const { loss } = await trainer.run({
      moments: certain(name),
      draw: zeros([4, 4, 8, 8]),
      noise: offset > 0 ? withOffset(plain, noise(`${name}.offset`, 4, 4, 1, 1), offset) : plain,
      t: Int32Array.from(whole(`t/${name}`, 4, 1000)),
      text: config.text.train ? ids : await encode(ids),
    });
    await trainer.update(step);
    found.push(loss);
  }
  return found;
}

describe("100 steps follow PyTorch's losses", () => {
  test("noise, frozen text encoder", async () => {
    expectToFollow(await losses("epsilon", settings(false, null)), curve("diffusion", "epsilon"));
  });

  test("v, text encoder trained along, min-SNR weights, offset noise", async () => {
    const found = await losses("v_prediction", settings(true, 5), { offset: 0.1 });
    expectToFollow(found, curve("diffusion", "joint"));
  });

  test("x0, min-SNR weights", async () => {
    expectToFollow(await losses("sample", settings(false, 5)), curve("diffusion", "sample"));
  });

  test("noise, text encoder trained along, min-SNR weights, activations worked out again", async () => {
    const found = await losses("epsilon", settings(true, 5, true));
    expectToFollow(found, curve("diffusion", "epsilon.snr"));
  });
});

test("a learning rate of its own moves the text encoder less, none not at all", async () => {
  await using engine = cpuEngine();
  const moved = async (rate: number): Promise<number> => {
    const config = { ...settings(true, null), text: { train: true, rate } };
    await using trainer = await diffusionTrainer(config, engine.training, parts("epsilon"));
    const name = "text_encoder.encoder.layers.0.mlp.fc1.weight";
    const before = (await trainer.store.read("params")).get(name)!.data;
    await trainer.run({
      moments: certain("rate"),
      draw: zeros([4, 4, 8, 8]),
      noise: noise("rate", 4, 4, 8, 8),
      t: Int32Array.of(10, 300, 500, 900),
      text: captionIds("rate", 4, 12),
    });
    await trainer.update(0);
    const after = (await trainer.store.read("params")).get(name)!.data;
    return Math.max(...after.map((x, i) => Math.abs(x - before[i]!)));
  };
  const [full, tenth, none] = [await moved(1), await moved(0.1), await moved(0)];
  expect(full).toBeGreaterThan(5e-4);
  expect(tenth / full).toBeCloseTo(0.1, 2);
  expect(none).toBe(0);
});

test("min-SNR weights are min(snr, gamma) times what turns the error into one of x0", () => {
  const level = { alpha: Math.sqrt(0.9), sigma: Math.sqrt(0.1) }; // snr 9
  expect(minSnrWeight(level, "sample", 5)).toBeCloseTo(5);
  expect(minSnrWeight(level, "epsilon", 5)).toBeCloseTo(5 / 9);
  expect(minSnrWeight(level, "v_prediction", 5)).toBeCloseTo(5 / 10);
  expect(minSnrWeight({ alpha: 0, sigma: 1 }, "v_prediction", 5)).toBe(0);
});

test("offset noise is one number for each channel of each picture", () => {
  const plain = tensor([1, 2, 1, 2], Float32Array.of(1, 2, 3, 4));
  const offsets = tensor([1, 2, 1, 1], Float32Array.of(10, -10));
  expect([...withOffset(plain, offsets, 0.5).data]).toEqual([6, 7, -2, -1]);
});
