import { expect, test } from "vitest";
import { SD_VAE } from "../../models/vae/config.js";
import type { Program } from "../../runtime/engine.js";
import { torchCpuNoise } from "../../tensor/random.js";
import { type Tensor, tensor, zeros } from "../../tensor/tensor.js";
import { latentScale } from "./latents.js";

/** An encoder whose answer is what it is given. */
const encoder: Program = {
  run: async ({ image }) => ({ moments: image! }),
  [Symbol.asyncDispose]: async () => {},
};

async function* once(...moments: Tensor[]) {
  yield* moments;
}

/** Moments [1,8,n,1] of one mean and one standard deviation for each channel. */
function moments(n: number, means: readonly number[], deviations: readonly number[]): Tensor {
  const out = zeros([1, 8, n, 1]);
  means.forEach((mean, c) => {
    out.data.fill(mean, c * n, (c + 1) * n);
  });
  deviations.forEach((d, c) => {
    out.data.fill(2 * Math.log(d), (4 + c) * n, (5 + c) * n);
  });
  return out;
}

test("the scale is 1 over the deviation of means and of draws around them together", async () => {
  const [means, deviations] = [
    [1, -2, 3, 4],
    [0.5, 0.5, 2, 1],
  ];
  const mean = 1.5;
  const variance = means.reduce((s, m, i) => s + (m - mean) ** 2 + deviations[i]! ** 2, 0) / 4;
  const found = await latentScale(encoder, SD_VAE, once(moments(3, means, deviations)));
  expect(found).toBeCloseTo(1 / Math.sqrt(variance), 6);
});

test("latents that are scaled by it have a variance of 1", async () => {
  const random = torchCpuNoise(5);
  const batches = [0, 1].map(() => {
    const { data } = random.randn([2, 8, 16, 16]);
    return tensor(
      [2, 8, 16, 16],
      data.map((x, i) => (i % 2048 < 1024 ? 3 * x + 1 : 0.3 * x - 1)),
    );
  });
  const scale = await latentScale(encoder, SD_VAE, once(...batches));
  let [n, first, second] = [0, 0, 0];
  for (const { data } of batches) {
    const draws = random.randn([data.length]).data;
    for (let i = 0; i < data.length; i++) {
      if (i % 2048 >= 1024) continue;
      const z = scale * (data[i]! + Math.exp(0.5 * data[i + 1024]!) * draws[i]!);
      n++;
      first += z;
      second += z * z;
    }
  }
  expect(second / n - (first / n) ** 2).toBeCloseTo(1, 1);
});

test("a variance beyond reason is cut as in drawing", async () => {
  const certain = await latentScale(
    encoder,
    SD_VAE,
    once(moments(1, [1, -1, 1, -1], [0, 0, 0, 0])),
  );
  expect(certain).toBeCloseTo(1, 5); // log 0 is minus infinity
});
