/** Tintype's trainers, asked by bench/training.ts: the same requests as trainingWorker.py answers. */

import { createInterface } from "node:readline";
import { nodePlatform } from "../src/node.js";
import { nodeEngine } from "../src/runtime/node/engine.js";
import { torchCpuNoise } from "../src/tensor/random.js";
import { storedInMemory } from "../src/tensor/stored.js";
import { type Tensor, tensor } from "../src/tensor/tensor.js";
import { autoencoderTrainer } from "../src/training/autoencoder/trainer.js";
import { diffusionTrainer } from "../src/training/diffusion/trainer.js";
import {
  initialWeights,
  textParameters,
  unetParameters,
  vaeParameters,
} from "../src/training/weights.js";
import type { AutoencoderBench, DiffusionBench } from "./trainingModels.js";
import { readTrainingBench } from "./trainingModels.js";

interface Request {
  readonly do: "load" | "step" | "memory";
  readonly model: "diffusion" | "autoencoder";
  readonly config: string;
  readonly threads: number;
  /** Whether idle threads wait by spinning: a setting of trainings, off by default. */
  readonly spinning: boolean;
}

/** Takes one step of training. */
type Step = (index: number) => Promise<void>;

const noise = torchCpuNoise(0);
const settings = {
  steps: 1000,
  optimizer: { kind: "adamw", weightDecay: 0.01 },
  learningRate: { peak: 1e-4, warmup: 0, schedule: "constant" },
  clip: null,
  ema: null,
} as const;

const engineOf = ({ threads, spinning }: Pick<Request, "threads" | "spinning">) =>
  nodeEngine({
    platform: nodePlatform(),
    device: "cpu",
    threads: threads || undefined,
    spinning,
  }).training;

async function diffusion(
  { batchSize, unet, text }: DiffusionBench,
  engine: Pick<Request, "threads" | "spinning">,
): Promise<Step> {
  const side = unet.sampleSize;
  const trainer = await diffusionTrainer(
    { ...settings, minSnr: null, text: { train: true, rate: 1 }, recompute: false },
    engineOf(engine),
    {
      unet: {
        config: unet,
        weights: storedInMemory(initialWeights(unetParameters(unet).values(), 0)),
      },
      text: {
        config: text,
        weights: storedInMemory(initialWeights(textParameters(text).values(), 0)),
      },
      vae: { config: { ...readTrainingBench(config).autoencoder.vae }, weights: new Map() },
      scheduler: { _class_name: "DDIMScheduler", num_train_timesteps: 1000 },
      prediction: "v_prediction",
    },
  );
  const latents = [batchSize, unet.inChannels, side, side];
  const batch = {
    moments: noise.randn([batchSize, 2 * unet.inChannels, side, side]),
    draw: noise.randn(latents),
    noise: noise.randn(latents),
    t: Int32Array.from({ length: batchSize }, (_, i) => (i * 997) % 1000),
    text: ids(batchSize, text.maxPositions, text.vocabSize),
  };
  return async (index) => {
    await trainer.run(batch);
    await trainer.update(index);
  };
}

function ids(batch: number, count: number, vocabulary: number): Tensor {
  const data = Float32Array.from({ length: batch * count }, (_, i) => (i * 31) % vocabulary);
  return tensor([batch, count], data);
}

async function autoencoder(
  { batchSize, side, vae }: AutoencoderBench,
  engine: Pick<Request, "threads" | "spinning">,
): Promise<Step> {
  const trainer = await autoencoderTrainer(
    { ...settings, recompute: false, loss: { pixel: "l1", kl: 1e-6, reduction: "mean" } as never },
    engineOf(engine),
    { model: vae, weights: initialWeights(vaeParameters(vae).values(), 0) },
  );
  const images = noise.randn([batchSize, 3, side, side]);
  const draw = noise.randn([batchSize, vae.latentChannels, side / 8, side / 8]);
  return async (index) => {
    await trainer.run(index, images, draw);
    await trainer.update(index);
  };
}

let config = "";
let step: Step | undefined;
let steps = 0;

async function seconds(act: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await act();
  return (performance.now() - started) / 1000;
}

async function answer(request: Request): Promise<number> {
  if (request.do === "load") {
    config = request.config;
    const bench = readTrainingBench(config);
    return await seconds(async () => {
      step =
        request.model === "diffusion"
          ? await diffusion(bench.diffusion, request)
          : await autoencoder(bench.autoencoder, request);
    });
  }
  if (request.do === "step") return await seconds(() => step!(steps++));
  return process.resourceUsage().maxRSS * 1024;
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify({ value: await answer(JSON.parse(line) as Request) }));
}
