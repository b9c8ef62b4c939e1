/*
 * Names that help and completion show. They stand here so that `--help` need not load the samplers
 * and trainings; tests hold them against the registries.
 */

export const SAMPLER_NAMES = [
  "ddim",
  "pndm",
  "ddpm",
  "euler",
  "euler_a",
  "heun",
  "lms",
  "dpm2",
  "dpm2_a",
  "dpmpp_2m",
  "dpmpp_2m_sde",
  "unipc",
  "deis",
  "lcm",
  "dpmpp_sde",
  "dpmpp_2s_a",
  "dpmpp_3m_sde",
] as const;

export const TRAINING_NAMES = ["autoencoder", "clip", "diffusion"] as const;

export const SCHEDULE_NAMES = [
  "automatic",
  "karras",
  "exponential",
  "beta",
  "simple",
  "normal",
  "sgm_uniform",
] as const;
