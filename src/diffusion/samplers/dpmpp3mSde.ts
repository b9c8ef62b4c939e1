import { add, divide, scale, sub } from "../../tensor/elementwise.js";
import { brownianNoise } from "../../tensor/random.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { Denoiser, KSamplerOptions, Level, Step } from "../types.js";

export interface Dpmpp3mSdeOptions extends KSamplerOptions {
  /** Share of the noise of the stochastic equation; 0 makes the sampler deterministic. */
  readonly eta?: number | undefined;
  /** Scale of the noise. */
  readonly sNoise?: number | undefined;
}

/** An estimate of x0, and the step in log sigma that was taken from it. */
interface Past {
  readonly denoised: Tensor;
  readonly h: number;
}

/**
 * DPM-Solver++(3M) SDE: third-order multistep, one network call a step. x in sigma space (alpha 1);
 * levels: sigma falling to 0. Source: Lu et al. 2022 (arXiv 2211.01095); k-diffusion
 * `sample_dpmpp_3m_sde` with one Brownian seed a picture.
 */
export async function* dpmpp3mSde(
  denoise: Denoiser,
  x: Tensor,
  levels: readonly Level[],
  options: Dpmpp3mSdeOptions,
): AsyncGenerator<Step> {
  const { noise, afterStep = (y) => y, eta = 1, sNoise = 1 } = options;
  const sigmas = levels.map((level) => Math.fround(level.sigma)).filter((sigma) => sigma > 0);
  const brownian = brownianNoise(noise, x.shape, Math.min(...sigmas), Math.max(...sigmas));
  /** The latest first; two are enough. */
  let history: readonly Past[] = [];

  const count = levels.length - 1;
  for (let i = 0; i < count; i++) {
    const [level, next] = [levels[i]!, levels[i + 1]!];
    const denoised = await denoise(x, level);
    if (next.sigma === 0) {
      x = denoised;
    } else {
      const h = Math.log(level.sigma / next.sigma);
      const hEta = h * (eta + 1);
      x = add(scale(x, Math.exp(-hEta)), scale(denoised, -Math.expm1(-hEta)));
      const [last, beforeLast] = history;
      if (last !== undefined) x = add(x, correction(denoised, h, hEta, last, beforeLast));
      if (eta > 0) {
        const up = next.sigma * Math.sqrt(-Math.expm1(-2 * h * eta));
        x = add(x, scale(brownian(Math.fround(level.sigma), Math.fround(next.sigma)), up * sNoise));
      }
      history = [{ denoised, h }, ...history.slice(0, 1)];
    }
    x = afterStep(x, next);
    yield { i, count, level, x, denoised };
  }
}

/**
 * What the derivatives of the estimate, by finite differences over its history, add to the
 * first-order step.
 */
function correction(denoised: Tensor, h: number, hEta: number, last: Past, before?: Past): Tensor {
  const phi2 = Math.expm1(-hEta) / hEta + 1;
  const phi3 = phi2 / hEta - 0.5;
  const r0 = last.h / h;
  const slope = divide(sub(denoised, last.denoised), r0);
  if (before === undefined) return scale(slope, phi2);
  const r1 = before.h / h;
  const slopeBefore = divide(sub(last.denoised, before.denoised), r1);
  const bend = divide(sub(slope, slopeBefore), r0 + r1);
  const d1 = add(slope, scale(bend, r0));
  return sub(scale(d1, phi2), scale(bend, phi3));
}
