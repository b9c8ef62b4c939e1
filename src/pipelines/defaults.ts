/** What is taken where neither the request nor the model says. */
export const DEFAULT_STEPS = 20;
export const DEFAULT_GUIDANCE_SCALE = 7.5;

/** Settings of a request that names none. */
export interface Defaults {
  readonly steps: number;
  readonly guidanceScale: number;
  /** Without one scheduler_config.json decides. */
  readonly sampler?: string | undefined;
}
