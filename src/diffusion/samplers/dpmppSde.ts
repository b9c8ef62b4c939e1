import { add, scale } from "../../tensor/elementwise.js";
import { brownianNoise } from "../../tensor/random.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { Denoiser, KSamplerOptions, Level, Step } from "../types.js";

export interface DpmppSdeOptions extends KSamplerOptions {
  /** Share of the noise of the stochastic equation; 0 makes the sampler deterministic. */
  readonly eta?: number | undefined;
  /** Scale of the noise. */
  readonly sNoise?: number | undefined;
  /** Place of the midpoint in log sigma, in (0, 1). */
  readonly r?: number | undefined;
}

const { fround } = Math;
/*
 * Noise is asked for at sigma after its way through log and exp in float32: the Brownian path is
 * fine enough to tell.
 */
const timeOf = (sigma: number): number => -fround(Math.log(fround(sigma)));
const sigmaOf = (time: number): number => fround(Math.exp(-time));

/**
 * DPM-Solver++ (stochastic), two network calls a step. x in sigma space (alpha 1); levels: sigma
 * falling to 0. Source: Lu et al. 2022 (arXiv 2211.01095); k-diffusion `sample_dpmpp_sde` with one
 * Brownian seed a picture.
 */
export async function* dpmppSde(
  denoise: Denoiser,
  x: Tensor,
  levels: readonly Level[],
  options: DpmppSdeOptions,
): AsyncGenerator<Step> {
  const { noise, levelAt, afterStep = (y) => y, eta = 1, sNoise = 1, r = 1 / 2 } = options;
  const sigmas = levels.map((level) => fround(level.sigma)).filter((sigma) => sigma > 0);
  const brownian = brownianNoise(noise, x.shape, Math.min(...sigmas), Math.max(...sigmas));

  /** The first-order step: straight towards x0, and back up by noise. */
  function leap(y: Tensor, x0: Tensor, from: number, to: number): Tensor {
    const up = Math.min(to, (eta * to * Math.sqrt(from ** 2 - to ** 2)) / from);
    const down = Math.sqrt(to ** 2 - up ** 2);
    const moved = add(scale(y, down / from), scale(x0, 1 - down / from));
    return add(moved, scale(brownian(from, to), sNoise * up));
  }

  const count = levels.length - 1;
  for (let i = 0; i < count; i++) {
    const [level, next] = [levels[i]!, levels[i + 1]!];
    const denoised = await denoise(x, level);
    if (next.sigma === 0) {
      x = denoised;
    } else {
      const [t, tNext] = [timeOf(level.sigma), timeOf(next.sigma)];
      const middle = levelAt(sigmaOf(fround(t + fround(fround(tNext - t) * r))));
      const from = sigmaOf(t);
      const x2 = afterStep(leap(x, denoised, from, middle.sigma), middle);
      const denoised2 = await denoise(x2, middle);
      const share = 1 / (2 * r);
      const mixed = add(scale(denoised, 1 - share), scale(denoised2, share));
      x = leap(x, mixed, from, sigmaOf(tNext));
    }
    x = afterStep(x, next);
    yield { i, count, level, x, denoised };
  }
}
