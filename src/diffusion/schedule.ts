import { TintypeError } from "../util/errors.js";

/** How the variances beta_t grow over the training timesteps. Names as in diffusers' configs. */
export type BetaSchedule =
  | "linear"
  | "scaled_linear"
  | "squaredcos_cap_v2"
  | "exp"
  | "laplace"
  | "sigmoid";

/** What fixes a forward process; the keys are those of a scheduler_config.json. */
export interface NoiseScheduleConfig {
  readonly num_train_timesteps: number;
  readonly beta_start: number;
  readonly beta_end: number;
  readonly beta_schedule: string;
  readonly trained_betas: readonly number[] | null;
  readonly rescale_betas_zero_snr: boolean;
}

const f = Math.fround;

/** torch.linspace in float32: each half is counted from its own end, with one rounding per value. */
export function linspace32(start: number, end: number, count: number): Float32Array<ArrayBuffer> {
  const [first, last] = [f(start), f(end)];
  const step = count > 1 ? f(f(last - first) / (count - 1)) : 0;
  return Float32Array.from({ length: count }, (_, i) =>
    i < count / 2 ? first + step * i : last - step * (count - 1 - i),
  );
}

/** torch.cumprod on the CPU: the product runs in float64, each value is rounded to float32. */
function cumprod(values: Float32Array): Float32Array<ArrayBuffer> {
  let product = 1;
  return Float32Array.from(values, (v) => {
    product *= v;
    return product;
  });
}

/** Betas from a continuous alpha-bar, each at most 0.999. Source: Nichol and Dhariwal 2021, eq. 17. */
function betasFromAlphaBar(count: number, alphaBar: (t: number) => number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) =>
    Math.min(1 - alphaBar((i + 1) / count) / alphaBar(i / count), 0.999),
  );
}

function laplaceAlphaBar(t: number): number {
  const sign = 0.5 - t < 0 || Object.is(0.5 - t, -0) ? -1 : 1;
  const snr = Math.exp(-0.5 * sign * Math.log(1 - 2 * Math.abs(0.5 - t) + 1e-6));
  return Math.sqrt(snr / (1 + snr));
}

const BETAS: Readonly<Record<BetaSchedule, (c: NoiseScheduleConfig) => Float32Array>> = {
  linear: (c) => linspace32(c.beta_start, c.beta_end, c.num_train_timesteps),
  scaled_linear: (c) =>
    linspace32(Math.sqrt(c.beta_start), Math.sqrt(c.beta_end), c.num_train_timesteps).map(
      (root) => root * root,
    ),
  squaredcos_cap_v2: (c) =>
    betasFromAlphaBar(
      c.num_train_timesteps,
      (t) => Math.cos((((t + 0.008) / 1.008) * Math.PI) / 2) ** 2,
    ),
  exp: (c) => betasFromAlphaBar(c.num_train_timesteps, (t) => Math.exp(-12 * t)),
  laplace: (c) => betasFromAlphaBar(c.num_train_timesteps, laplaceAlphaBar),
  sigmoid: (c) =>
    linspace32(-6, 6, c.num_train_timesteps).map((x) => {
      const gate = f(1 / (1 + Math.exp(-x)));
      return f(gate * f(c.beta_end - c.beta_start)) + f(c.beta_start);
    }),
};

/**
 * Betas shifted and scaled so that the last level is pure noise while the first stays as it was.
 * Source: Lin et al. 2023, "Common Diffusion Noise Schedules and Sample Steps are Flawed", alg. 1.
 */
export function rescaleZeroTerminalSnr(betas: Float32Array): Float32Array<ArrayBuffer> {
  const roots = cumprod(betas.map((b) => 1 - b)).map(Math.sqrt);
  const [first, last] = [roots[0]!, roots[roots.length - 1]!];
  const gain = f(first / f(first - last));
  const alphaBar = roots.map((root) => f(f(root - last) * gain) ** 2);
  return alphaBar.map((a, t) => 1 - (t === 0 ? a : f(a / alphaBar[t - 1]!)));
}

/**
 * Variances beta_t of the forward process, t in [0, num_train_timesteps), float32.
 * Throws "unsupported" for a schedule by another name, "bad-file" for trained betas that do not fit.
 */
export function betasOf(config: NoiseScheduleConfig): Float32Array<ArrayBuffer> {
  let betas: Float32Array;
  if (config.trained_betas !== null) {
    betas = Float32Array.from(config.trained_betas);
    if (betas.length !== config.num_train_timesteps) {
      throw new TintypeError(
        "bad-file",
        `scheduler config: trained_betas holds ${betas.length} values, expected ` +
          `num_train_timesteps = ${config.num_train_timesteps}.`,
      );
    }
  } else {
    const make = Object.hasOwn(BETAS, config.beta_schedule)
      ? BETAS[config.beta_schedule as BetaSchedule]
      : undefined;
    if (make === undefined) {
      throw new TintypeError(
        "unsupported",
        `scheduler config: beta_schedule "${config.beta_schedule}" is not one of ` +
          `${Object.keys(BETAS).join(", ")}.`,
      );
    }
    betas = make(config);
  }
  return Float32Array.from(config.rescale_betas_zero_snr ? rescaleZeroTerminalSnr(betas) : betas);
}

/**
 * alpha-bar_t, the product of 1 - beta up to t, float32: the share of the picture's variance that is
 * left at timestep t. Equal to PyTorch's to the last bit.
 */
export function alphasCumprodOf(betas: Float32Array): Float32Array<ArrayBuffer> {
  return cumprod(betas.map((b) => 1 - b));
}

/** sigma_t / alpha_t of every timestep, float32: the noise levels in sigma space, rising. */
export function sigmaTable(alphasCumprod: Float32Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(alphasCumprod, (a) => Math.sqrt(f(f(1 - a) / a)));
}
