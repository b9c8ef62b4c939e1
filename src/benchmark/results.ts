/** What is measured of a contestant: seconds, and bytes of memory. */
export type Measure = "load" | "cold" | "text" | "step" | "decode" | "picture" | "memory";

/** What each measure is, for people. */
export const MEASURE_TITLES: Readonly<Record<Measure, string>> = {
  load: "load",
  cold: "load, empty cache",
  text: "two prompts",
  step: "guided step",
  decode: "decode",
  picture: "whole picture",
  memory: "peak memory",
};

export const MEASURES: readonly Measure[] = Object.keys(MEASURE_TITLES) as Measure[];

export type ProgramName = "tintype" | "diffusers" | "sdcpp";

/** A program with the numbers that it computes in. */
export interface ContestantName {
  /** "tintype fp32" */
  readonly name: string;
  readonly program: ProgramName;
  readonly dtype: string;
}

/** Measurements of one contestant at one size: seconds or bytes, one a round or more. */
export type Samples = Readonly<Partial<Record<Measure, readonly number[]>>>;

/** A contestant that could not be measured, or not to the end. */
export interface Failure {
  readonly contestant: string;
  /** Side of the picture; undefined where it failed before any. */
  readonly size?: number | undefined;
  readonly message: string;
}

/** What was measured on. */
export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly system: string;
  /** Runnable processes when it began, averaged over a minute; near 0 on a quiet machine. */
  readonly load: number;
}

/** A benchmark that is over. */
export interface Benchmark {
  /** What people call the model. */
  readonly model: string;
  readonly machine: Machine;
  readonly settings: {
    readonly rounds: number;
    /** Steps of the whole picture. */
    readonly steps: number;
    readonly sampler: string;
    /** undefined: each program's own choice. */
    readonly threads: number | undefined;
    readonly sizes: readonly number[];
  };
  /** How peak memory was found. */
  readonly memoryBy: string;
  readonly contestants: readonly (ContestantName & { readonly about: string })[];
  readonly failures: readonly Failure[];
  /** By contestant's name, then by size. */
  readonly samples: ReadonlyMap<string, ReadonlyMap<number, Samples>>;
}

/** Adds measurements of a visit to those before. */
export function addSamples(before: Samples | undefined, visit: Samples): Samples {
  const rows = MEASURES.flatMap((measure) => {
    const values = [...(before?.[measure] ?? []), ...(visit[measure] ?? [])];
    return values.length === 0 ? [] : [[measure, values] as const];
  });
  return Object.fromEntries(rows);
}
