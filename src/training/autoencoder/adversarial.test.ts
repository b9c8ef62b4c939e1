import { expect, test } from "vitest";
import {
  cpuEngine,
  curves,
  derivedWeights,
  noise,
  pictures,
} from "../../../test/training/support.js";
import { grad } from "../../graph/grad.js";
import { input } from "../../graph/ops.js";
import { PATCHGAN } from "../../models/discriminator/config.js";
import { lpips } from "../../models/perceptual/lpips.js";
import { SD_VAE, type VaeConfig } from "../../models/vae/config.js";
import { denseParams } from "../../nn/layers.js";
import { storedInMemory } from "../../tensor/stored.js";
import { sizeOf, type Tensor } from "../../tensor/tensor.js";
import { discriminatorParameters, under, vaeParameters } from "../weights.js";
import type { AdversarialConfig } from "./config.js";
import { type AutoencoderSettings, autoencoderTrainer } from "./trainer.js";

const MODEL: VaeConfig = {
  ...SD_VAE,
  blockOutChannels: [16, 32],
  layersPerBlock: 1,
  normNumGroups: 8,
};

const constant = (peak: number) => ({ peak, warmup: 0, schedule: "constant" }) as const;

const ADVERSARIAL: AdversarialConfig = {
  start: 0,
  weight: 0.5,
  channels: 8,
  layers: 2,
  optimizer: { kind: "adam", betas: [0.5, 0.9] },
  learningRate: constant(2e-4),
};

const SETTINGS: AutoencoderSettings = {
  steps: 10,
  loss: { pixel: "l1", kl: 1e-3, reduction: "mean" },
  adversarial: ADVERSARIAL,
  optimizer: { kind: "adamw", weightDecay: 0 },
  learningRate: constant(2e-4),
  clip: null,
  ema: null,
  recompute: false,
};

const start = () => ({
  model: MODEL,
  weights: derivedWeights("train.vae", vaeParameters(MODEL).values()),
  discriminator: derivedWeights("train.patchgan", discriminatorParameters(ADVERSARIAL).values()),
});

interface Adversarial {
  readonly columns: readonly string[];
  readonly steps: readonly (readonly number[])[];
  readonly gradients: Readonly<Record<string, readonly [product: number, norm: number]>>;
}

const reference = () => curves().adversarial as unknown as Adversarial;

const step = (n: number) =>
  [n, pictures(`adversarial.${n}`, 4, 16, 16), noise(`adversarial.${n}`, 4, 4, 8, 8)] as const;

test("ten steps of autoencoder and discriminator follow PyTorch", async () => {
  await using engine = cpuEngine();
  await using trainer = await autoencoderTrainer(SETTINGS, engine.training, start());
  const { columns, steps } = reference();
  for (const [n, row] of steps.entries()) {
    const metrics = await trainer.run(...step(n));
    await trainer.update(n);
    for (const [i, column] of columns.entries()) {
      const apart = Math.abs(metrics[column]! - row[i]!);
      expect(apart, `${column} of step ${n}`).toBeLessThan(1e-3 * Math.max(0.1, Math.abs(row[i]!)));
    }
  }
});

test("every gradient of both networks is PyTorch's", async () => {
  await using engine = cpuEngine();
  const plain = { optimizer: { kind: "sgd" }, learningRate: constant(1) } as const;
  const config = { ...SETTINGS, ...plain, adversarial: { ...ADVERSARIAL, ...plain } };
  await using trainer = await autoencoderTrainer(config, engine.training, start());
  const before = await trainer.save();
  await trainer.run(...step(0));
  await trainer.update(0);
  const after = await trainer.save();
  const all = (state: typeof before) =>
    Object.entries(state).flatMap(([file, part]) =>
      file.endsWith(".params") ? [...(part as ReadonlyMap<string, Tensor>)] : [],
    );
  const moved = new Map(all(after));
  const whole = Math.hypot(...Object.values(reference().gradients).map(([, norm]) => norm));
  let seen = 0;
  for (const [name, { shape, data }] of all(before)) {
    const [product, norm] = reference().gradients[name]!;
    const toward = noise(`direction/${name.replace("discriminator.", "")}`, ...shape).data;
    let [sum, squares] = [0, 0];
    data.forEach((x, i) => {
      const g = x - moved.get(name)!.data[i]!;
      sum += g * toward[i]!;
      squares += g * g;
    });
    // A weight less its gradient is rounded to float32.
    const rounding = 1e-6 * Math.sqrt(sizeOf(shape));
    const tolerance = 1e-4 * norm + 1e-6 * whole + rounding;
    expect(Math.abs(Math.sqrt(squares) - norm), `norm of ${name}`).toBeLessThan(tolerance);
    expect(Math.abs(sum - product), `direction of ${name}`).toBeLessThan(tolerance);
    seen++;
  }
  expect(seen).toBe(Object.keys(reference().gradients).length);
});

test("before its start the discriminator rests", async () => {
  await using engine = cpuEngine();
  const config = { ...SETTINGS, adversarial: { ...ADVERSARIAL, start: 1 } };
  await using trainer = await autoencoderTrainer(config, engine.training, start());
  const read = async () =>
    (await trainer.save())["discriminator.params"] as ReadonlyMap<string, Tensor>;
  const before = await read();
  expect(Object.keys(await trainer.run(...step(0)))).not.toContain("discriminator");
  await trainer.update(0);
  expect(await read()).toEqual(before);
  expect(Object.keys(await trainer.run(...step(1)))).toContain("discriminator");
  await trainer.update(1);
  expect(await read()).not.toEqual(before);
});

test("the published discriminator has 2,765,633 parameters", () => {
  const declared = [...discriminatorParameters(PATCHGAN).values()];
  expect(declared.reduce((n, { shape }) => n + sizeOf(shape), 0)).toBe(2_765_633);
});

test("LPIPS and its gradient are PyTorch's", async () => {
  await using engine = cpuEngine();
  const [p, shape] = [denseParams(), [2, 3, 32, 32]];
  const [a, b] = [input("a", shape), input("b", shape)];
  const loss = lpips(p.at("vgg"), p.at("lin"), a, b);
  const declared = [...p.declared.values()].map(({ name, shape }) => ({ name, shape }));
  const part = (prefix: string) =>
    declared
      .filter(({ name }) => name.startsWith(`${prefix}.`))
      .map((d) => ({ ...d, name: d.name.slice(prefix.length + 1) }));
  const lin = derivedWeights("train.lin", part("lin"));
  for (const { data } of lin.values()) for (const [i, x] of data.entries()) data[i] = Math.abs(x);
  const frozen = storedInMemory(
    new Map([...under("vgg", derivedWeights("train.vgg", part("vgg"))), ...under("lin", lin)]),
  );
  await using program = await engine.training.program(
    { loss, gradient: grad(loss, [a])[0]! },
    { label: "LPIPS", stores: [], frozen },
  );
  const out = await program.run({
    a: pictures("lpips.a", 2, 32, 32),
    b: pictures("lpips.b", 2, 32, 32),
  });
  const [value, product, norm] = curves().perceptual as unknown as [number, number, number];
  expect(Math.abs(out.loss!.data[0]! - value)).toBeLessThan(1e-5 * value);
  const toward = noise("direction/lpips", ...shape).data;
  const gradient = out.gradient!.data;
  const found = gradient.reduce((sum, g, i) => sum + g * toward[i]!, 0);
  expect(Math.abs(Math.hypot(...gradient) - norm)).toBeLessThan(1e-4 * norm);
  expect(Math.abs(found - product)).toBeLessThan(1e-3 * norm);
});
