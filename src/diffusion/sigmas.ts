import { betaPpf } from "./betaPpf.js";
import { linspace32 } from "./schedule.js";
import { linspace } from "./timesteps.js";

const f = Math.fround;

/** Noise falling from `max` to `min` in `count` values by rho = 7. Source: Karras et al. 2022, eq. 5. */
export function karrasSigmas(min: number, max: number, count: number): number[] {
  const rho = 7;
  const [low, high] = [min ** (1 / rho), max ** (1 / rho)];
  return linspace(0, 1, count).map((ramp) => (high + ramp * (low - high)) ** rho);
}

/** Noise falling from `max` to `min` by a constant factor. */
export function exponentialSigmas(min: number, max: number, count: number): number[] {
  return linspace(Math.log(max), Math.log(min), count).map(Math.exp);
}

/** Noise placed by the quantiles of Beta(0.6, 0.6). Source: Lee et al. 2024, arXiv 2407.12173. */
export function betaSigmas(min: number, max: number, count: number): number[] {
  return linspace(0, 1, count).map((ramp) => min + betaPpf(1 - ramp, 0.6, 0.6) * (max - min));
}

/** Noise by equal steps of log sigma. Source: Lu et al. 2022, DPM-Solver, section 3.4. */
export function luSigmas(min: number, max: number, count: number): number[] {
  const [low, high] = [f(Math.log(min)), f(Math.log(max))];
  return linspace(0, 1, count).map((ramp) => Math.exp(high + ramp * (low - high)));
}

/** numpy.interp of a rising table at a fractional index, held at both ends. */
export function interpolate(table: Float32Array, t: number): number {
  if (t <= 0) return table[0]!;
  if (t >= table.length - 1) return table[table.length - 1]!;
  const i = Math.floor(t);
  return (table[i + 1]! - table[i]!) * (t - i) + table[i]!;
}

/** The logarithms of a table of sigmas, float32. */
export function logTable(table: Float32Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(table, Math.log);
}

/**
 * The fractional timestep of a noise level: linear in log sigma between the trained levels, held at
 * both ends. `round` is applied after each operation (Math.fround where the reference has float32).
 * Source: k-diffusion, DiscreteSchedule.sigma_to_t.
 */
export function sigmaToT(
  sigma: number,
  logSigmas: Float32Array,
  round: (x: number) => number = (x) => x,
): number {
  const log = round(Math.log(Math.max(sigma, 1e-10)));
  let [low, high] = [0, logSigmas.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (logSigmas[middle]! <= log) low = middle;
    else high = middle;
  }
  const [a, b] = [logSigmas[low]!, logSigmas[low + 1]!];
  const w = Math.min(Math.max(round(round(a - log) / f(a - b)), 0), 1);
  return round(round(round(1 - w) * low) + round(w * (low + 1)));
}

/** A sigma and the timestep that the network is told with it. */
export interface Rung {
  readonly sigma: number;
  readonly t: number;
}

/** Every n-th trained level from the noisiest. Source: ComfyUI comfy/samplers.py simple_scheduler. */
export function simpleRungs(table: Float32Array, count: number): Rung[] {
  return Array.from({ length: count }, (_, i) => {
    const t = table.length - 1 - Math.floor(i * (table.length / count));
    return { sigma: table[t]!, t };
  });
}

/**
 * Equal steps of the timestep from the noisiest trained level to the cleanest ("normal", which is
 * also k-diffusion's get_sigmas), or stopping one step before it ("sgm_uniform"); fractional
 * timesteps are log-linear in sigma. Source: ComfyUI comfy/samplers.py normal_scheduler.
 */
export function normalRungs(table: Float32Array, count: number, sgm: boolean): Rung[] {
  const logs = logTable(table);
  const timesteps = linspace32(table.length - 1, 0, count + (sgm ? 1 : 0)).subarray(0, count);
  return Array.from(timesteps, (t) => {
    const low = Math.floor(t);
    const w = f(t - low);
    const log = f((1 - w) * logs[low]!) + f(w * logs[Math.ceil(t)]!);
    return { sigma: f(Math.exp(f(log))), t };
  });
}
