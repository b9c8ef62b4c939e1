import { TintypeError } from "../util/errors.js";

/** Where the timesteps of a run lie among the trained ones. Source: Lin et al. 2023, table 2. */
export type TimestepSpacing = "linspace" | "leading" | "trailing";

/** Rounds to the nearest integer, halves to the even one, as NumPy does. */
export function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const half = x - floor === 0.5;
  return half ? floor + (floor % 2 === 0 ? 0 : 1) : Math.round(x);
}

/** numpy.linspace in float64, both ends included. */
export function linspace(start: number, end: number, count: number): number[] {
  const step = count > 1 ? (end - start) / (count - 1) : 0;
  return Array.from({ length: count }, (_, i) =>
    i > 0 && i === count - 1 ? end : i * step + start,
  );
}

/** `last`, `last - total / count`, ... rounded, less one, in NumPy's arithmetic of arange. */
function trailing(total: number, last: number, count: number): number[] {
  const step = last - total / count - last;
  const values = Array.from({ length: Math.ceil(-last / (-total / count)) }, (_, i) =>
    roundHalfEven(last + i * step),
  );
  // Rounding sometimes (61 steps of 1000) leaves one more value just above 0: timestep -1 is none.
  return values.map((t) => t - 1).filter((t) => t >= 0);
}

export interface Spacing {
  readonly spacing: string;
  /** Training timesteps, 1000 for Stable Diffusion. */
  readonly total: number;
  /** Timesteps that a run may start from, `total` unless the noisiest ones are cut away. */
  readonly last?: number;
  readonly offset: number;
  readonly count: number;
  /** "solver" leaves out the timestep that the last step arrives at, "exact" keeps fractions. */
  readonly style: "rounded" | "exact" | "solver";
}

/** The timesteps of a run, noisiest first. Throws "unsupported" for a spacing by another name. */
export function spacedTimesteps(s: Spacing): number[] {
  const last = s.last ?? s.total;
  const extra = s.style === "solver" ? 1 : 0;
  switch (s.spacing) {
    case "linspace": {
      const values = linspace(0, last - 1, s.count + extra).slice(extra);
      return values.map(s.style === "exact" ? Math.fround : roundHalfEven).reverse();
    }
    case "leading": {
      const ratio = Math.floor((s.style === "solver" ? last : s.total) / (s.count + extra));
      const values = Array.from({ length: s.count }, (_, i) => (i + extra) * ratio + s.offset);
      // Only the samplers that look whole timesteps up in a table mind one beyond its end.
      const beyond = s.style === "rounded" && values[values.length - 1]! >= s.total;
      if (ratio < 1 || beyond) {
        throw new TintypeError(
          "bad-argument",
          `${s.count} steps do not fit into ${s.total} training timesteps with the spacing ` +
            `"leading" and steps_offset ${s.offset}: take fewer steps.`,
        );
      }
      return values.reverse();
    }
    case "trailing":
      return trailing(s.total, last, s.count);
    default:
      throw new TintypeError(
        "unsupported",
        `scheduler config: timestep_spacing "${s.spacing}" is not one of linspace, leading, trailing.`,
      );
  }
}
