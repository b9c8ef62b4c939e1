import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { exportTrained, type TrainStep, trainModel } from "../../src/node.js";
import { TINY } from "./tiny.js";

const space = mkdtempSync(join(tmpdir(), "tintype-library-"));
afterAll(() => rmSync(space, { recursive: true, force: true }));

/** An autoencoder without anything random but its weights and its pictures. */
const CERTAIN = {
  ...TINY.autoencoder,
  data: { kind: "postcards" },
  adversarial: undefined,
  loss: { kl: null },
  samples: { every: 0 },
  steps: 3,
};

async function trained(name: string, own: object): Promise<TrainStep[]> {
  const run = join(space, name);
  const { adversarial: _, ...config } = { ...CERTAIN, ...own };
  const steps: TrainStep[] = [];
  for await (const step of trainModel("autoencoder", config, { run })) steps.push(step);
  return steps;
}

const floats = (path: string): Float32Array => {
  const bytes = readFileSync(join(space, path));
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  return new Float32Array(
    bytes.buffer.slice(bytes.byteOffset + start, bytes.byteOffset + bytes.length),
  );
};

test("batches that are gathered make the step of one batch that holds them all", async () => {
  const apart = await trained("apart", { batchSize: 1, accumulate: 2 });
  const together = await trained("together", { batchSize: 2 });
  expect(apart.map(({ step }) => step)).toEqual([1, 2, 3]);
  for (const [i, { metrics }] of together.entries()) {
    for (const key of ["loss", "l1", "gradientNorm"]) {
      expect(apart[i]!.metrics[key]! / metrics[key]!).toBeCloseTo(1, 4);
    }
  }
  const file = "checkpoints/step-000003/model.params.safetensors";
  const [a, b] = [floats(`apart/${file}`), floats(`together/${file}`)];
  const size = Math.hypot(...b);
  expect(Math.hypot(...a.map((x, i) => x - b[i]!)) / size).toBeLessThan(1e-3);
});

test("a product says the scale that was measured of its latents, and is written on request", async () => {
  const config = (run: string) =>
    JSON.parse(readFileSync(join(space, run, "model/vae/config.json"), "utf8"));
  const scale = config("together").scaling_factor;
  expect(scale).toBeGreaterThan(0);
  expect([1, 0.18215]).not.toContain(scale);
  rmSync(join(space, "together/model"), { recursive: true });
  const run = join(space, "together");
  expect(await exportTrained("autoencoder", { run })).toBe(`${run}/model`);
  expect(config("together").scaling_factor).toBe(scale);
});

test("a kind of training that there is not is named", async () => {
  const steps = trainModel("difusion", {}, { run: join(space, "none") });
  await expect(steps.next()).rejects.toThrow(
    'unknown training "difusion": did you mean "diffusion"?',
  );
});
