import { add, scale } from "../../tensor/elementwise.js";
import { randnBatch } from "../../tensor/random.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { Denoiser, KSamplerOptions, Level, Step } from "../types.js";

export interface Dpmpp2sAOptions extends KSamplerOptions {
  /** Share of the ancestral noise; 0 makes the sampler deterministic. */
  readonly eta?: number | undefined;
  /** Scale of the noise. */
  readonly sNoise?: number | undefined;
}

/**
 * The first-order step from noise `from` to noise `to`: exact where the denoised picture stays as
 * it is.
 */
function towards(x: Tensor, denoised: Tensor, from: number, to: number): Tensor {
  return add(scale(x, to / from), scale(denoised, 1 - to / from));
}

/**
 * Ancestral sampling with DPM-Solver++(2S) steps, two network calls each. x in sigma space (alpha
 * 1); levels: sigma falling to 0. Source: Lu et al. 2022 (arXiv 2211.01095), Algorithm 1;
 * k-diffusion `sample_dpmpp_2s_ancestral`.
 */
export async function* dpmpp2sA(
  denoise: Denoiser,
  x: Tensor,
  levels: readonly Level[],
  options: Dpmpp2sAOptions,
): AsyncGenerator<Step> {
  const { noise, levelAt, afterStep = (y) => y, eta = 1, sNoise = 1 } = options;
  const count = levels.length - 1;
  for (let i = 0; i < count; i++) {
    const [level, next] = [levels[i]!, levels[i + 1]!];
    const [from, to] = [level.sigma, next.sigma];
    const denoised = await denoise(x, level);
    const up = Math.min(to, (eta * to * Math.sqrt(from ** 2 - to ** 2)) / from);
    const down = Math.sqrt(to ** 2 - up ** 2);
    if (down === 0) {
      x = denoised;
    } else {
      const middle = levelAt(Math.sqrt(from * down));
      const x2 = afterStep(towards(x, denoised, from, middle.sigma), middle);
      x = towards(x, await denoise(x2, middle), from, down);
    }
    if (to > 0) x = add(x, scale(randnBatch(noise, x.shape), sNoise * up));
    x = afterStep(x, next);
    yield { i, count, level, x, denoised };
  }
}
