import { describe, expect, test } from "vitest";
import {
  cpuEngine,
  curve,
  derivedWeights,
  expectToFollow,
  noise,
  pictures,
  STEPS,
} from "../../../test/training/support.js";
import { SD_VAE, type VaeConfig } from "../../models/vae/config.js";
import { vaeParameters } from "../weights.js";
import type { AutoencoderLossConfig } from "./config.js";
import { type AutoencoderSettings, autoencoderTrainer } from "./trainer.js";

const MODEL: VaeConfig = {
  ...SD_VAE,
  blockOutChannels: [16, 32],
  layersPerBlock: 1,
  normNumGroups: 8,
};

function settings(loss: Partial<AutoencoderLossConfig>, peak: number): AutoencoderSettings {
  return {
    steps: 100,
    loss: { pixel: "l1", kl: 1e-6, reduction: "mean", ...loss },
    optimizer: { kind: "adamw", weightDecay: 0.01 },
    learningRate: { peak, warmup: 0, schedule: "constant" },
    clip: 1,
    ema: null,
    recompute: false,
  };
}

const start = () => ({
  model: MODEL,
  weights: derivedWeights("train.vae", vaeParameters(MODEL).values()),
});

describe("100 steps follow PyTorch's losses", () => {
  test.each([
    ["l1", settings({ kl: 1e-3 }, 5e-5)],
    ["l2", settings({ pixel: "l2" }, 1e-3)],
    ["plain", settings({ kl: null }, 5e-5)],
  ] as const)("%s", async (variant, config) => {
    await using engine = cpuEngine();
    await using trainer = await autoencoderTrainer(config, engine.training, start());
    const losses: number[] = [];
    for (let step = 0; step < STEPS; step++) {
      const name = `autoencoder.${step}`;
      const { loss } = await trainer.run(step, pictures(name, 4, 16, 16), noise(name, 4, 4, 8, 8));
      await trainer.update(step);
      losses.push(loss!);
    }
    expectToFollow(losses, curve("autoencoder", variant));
  });
});

test("the published scale is 3 H W times the mean's, and moves the weights the same way", async () => {
  await using engine = cpuEngine();
  const weights: number[][] = [];
  const losses: number[] = [];
  for (const reduction of ["mean", "sum"] as const) {
    const config = { ...settings({ reduction }, 1e-3), clip: null };
    await using trainer = await autoencoderTrainer(config, engine.training, start());
    const images = pictures("scale", 4, 16, 16);
    losses.push((await trainer.run(0, images, noise("scale", 4, 4, 8, 8))).loss!);
    await trainer.update(0);
    weights.push([...(await trainer.store.read("params")).get("decoder.conv_out.weight")!.data]);
  }
  expect(losses[1]! / losses[0]!).toBeCloseTo(3 * 16 * 16, 1);
  weights[0]!.forEach((w, i) => {
    expect(Math.abs(w - weights[1]![i]!)).toBeLessThan(1e-5);
  });
});

test("a decoder learns alone, and leaves the encoder to the bit", async () => {
  await using engine = cpuEngine();
  const config = { ...settings({ pixel: "l2" }, 1e-3), train: "decoder" } as const;
  await using trainer = await autoencoderTrainer(config, engine.training, start());
  const losses: number[] = [];
  for (let step = 0; step < 5; step++) {
    const { loss } = await trainer.run(
      step,
      pictures("decoder", 4, 16, 16),
      noise("decoder", 4, 4, 8, 8),
    );
    await trainer.update(step);
    losses.push(loss!);
  }
  expect(losses[4]).toBeLessThan(losses[0]!);
  const before = start().weights;
  for (const [name, { data }] of await trainer.store.read("params")) {
    const isSame = data.every((x, i) => x === before.get(name)!.data[i]);
    expect([name, isSame]).toEqual([name, /^(encoder|quant_conv)/.test(name)]);
  }
});
