import type { ScheduleName } from "../../src/diffusion/index.js";
import { formatParameters } from "../../src/formats/index.js";
import type { DiffusionModel, Generated, Shortcuts } from "../../src/node.js";
import { counted } from "../../src/util/counted.js";
import { VERSION } from "../../src/util/version.js";
import { formatDuration, formatPace, jsonSeed } from "../format.js";
import type { Job } from "./job.js";
import type { StepRange } from "./options.js";
import type { TimesOfParts } from "./watch.js";

/*
 * What a run leaves behind beside its pictures: a line for people, an object for programs, and the
 * text inside each picture.
 */

/** Where a run was computed, and in what numbers. */
export interface RanOn {
  readonly device: string;
  readonly dtype: string;
}

/** A run that is over. */
export interface Made {
  readonly job: Job;
  readonly ran: RanOn;
  readonly model: DiffusionModel;
  readonly batches: readonly Pick<Generated, "plan" | "settings" | "tiles">[];
  readonly times: TimesOfParts;
  /** For each text that was too long, the end that was cut. */
  readonly truncated: ReadonlyMap<string, string>;
}

/** A1111's names of the schedules. */
const SCHEDULE_LABELS: Readonly<Record<ScheduleName, string>> = {
  automatic: "Automatic",
  karras: "Karras",
  exponential: "Exponential",
  beta: "Beta",
  simple: "Simple",
  normal: "Normal",
  sgm_uniform: "SGM Uniform",
};

/** "models/sd/v1-5.safetensors" -> "v1-5", without what would end a name in A1111's text. */
const stem = (ref: string): string =>
  ref
    .replace(/[\\/]+$/, "")
    .replace(/^.*[\\/]/, "")
    .replace(/\.(safetensors|ckpt|pt|pth|bin)$/i, "");

/** How picture `k` of a result was made, as A1111's web UI writes it. */
export function parametersText(
  { prompt, options, model }: Job,
  { dtype }: RanOn,
  result: Generated,
  k: number,
): string {
  const { plan, settings } = result;
  const { width, height } = settings;
  const { initImage, mask, strength } = options;
  return formatParameters({
    prompt,
    negativePrompt: options.negativePrompt,
    settings: {
      Steps: settings.steps,
      Sampler: plan.label,
      "Schedule type": SCHEDULE_LABELS[plan.schedule],
      "CFG scale": settings.guidanceScale,
      "Guidance steps": showRange(options.guidanceSteps),
      Seed: String(settings.seeds[k]),
      Size: `${width}x${height}`,
      Model: stem(model),
      VAE: options.vae === undefined ? undefined : stem(options.vae),
      "Denoising strength":
        initImage === undefined ? undefined : (strength ?? defaultStrength(mask)),
      Eta: options.eta === 0 ? undefined : options.eta,
      ...shortcutLabels(settings.shortcuts),
      "VAE tiles": result.tiles && `${result.tiles.tile}/${result.tiles.overlap}`,
      RNG: options.rng === "cuda" ? "NV" : "CPU",
      Dtype: dtype === "fp32" ? undefined : dtype,
      Version: `tintype ${VERSION}`,
    },
  });
}

/** "2:10", with what is open left out. */
function showRange(range: StepRange | undefined): string | undefined {
  return range && `${range.from}:${Number.isFinite(range.to) ? range.to : ""}`;
}

function shortcutLabels({ deepCache, mergeTokens }: Shortcuts): Record<string, number | undefined> {
  return {
    "Deep cache": deepCache?.every,
    "Deep cache branch": deepCache?.branch === 0 ? undefined : deepCache?.branch,
    "Deep cache power": deepCache?.power,
    "Merge tokens": mergeTokens > 1 ? mergeTokens : undefined,
  };
}

const defaultStrength = (mask: string | undefined): number => (mask === undefined ? 0.8 : 1);

/** The one object of --json. */
export function jsonReport(
  { job, ran, model, batches, times, truncated }: Made,
  totalMs: number,
): string {
  const { prompt, options, seeds, files } = job;
  const { plan, settings } = batches[0]!;
  const { negativePrompt = "", initImage, mask, guidanceSteps } = options;
  const { deepCache, mergeTokens } = settings.shortcuts;
  const seconds = (milliseconds: number): number => Number((milliseconds / 1000).toFixed(6));
  return JSON.stringify({
    version: VERSION,
    prompt,
    negative_prompt: negativePrompt,
    truncated_prompt: truncated.get(prompt) ?? null,
    truncated_negative_prompt: truncated.get(negativePrompt) ?? null,
    seed: jsonSeed(seeds[0]!),
    seeds: seeds.map(jsonSeed),
    model: job.model,
    config: options.config ?? null,
    vae: options.vae ?? null,
    variant: options.variant ?? null,
    family: model.family,
    prediction: plan.prediction,
    steps: settings.steps,
    cfg_scale: settings.guidanceScale,
    guidance_steps: guidanceSteps ? [guidanceSteps.from, finite(guidanceSteps.to)] : null,
    deep_cache: deepCache?.every ?? 1,
    deep_cache_branch: deepCache?.branch ?? null,
    deep_cache_power: deepCache?.power ?? null,
    merge_tokens: mergeTokens,
    vae_tiles: batches[0]!.tiles ?? null,
    sampler: plan.sampler,
    schedule: plan.schedule,
    eta: plan.eta,
    rng: options.rng,
    width: settings.width,
    height: settings.height,
    batch_size: options.batchSize,
    batch_count: options.batchCount,
    init_image: initImage ?? null,
    mask: mask ?? null,
    strength: initImage === undefined ? null : (options.strength ?? defaultStrength(mask)),
    ...ran,
    threads: options.threads ?? null,
    low_memory: options.lowMemory ?? false,
    files,
    timings: {
      load_s: seconds(times.loadMs),
      text_s: seconds(times.textMs),
      step_s: times.callMs.map(seconds),
      vae_s: seconds(times.vaeMs),
      total_s: seconds(totalMs),
      peak_rss_bytes: process.resourceUsage().maxRSS * 1024,
    },
  });
}

/** JSON has no infinity. */
const finite = (n: number): number | null => (Number.isFinite(n) ? n : null);

/** One line for people. */
export function summary({ ran, times, batches }: Made, totalMs: number): string {
  const steps = batches.reduce((n, { plan }) => n + plan.count, 0);
  const sampling = times.callMs.reduce((sum, ms) => sum + ms, 0);
  const parts = [
    `loading ${formatDuration(times.loadMs)}`,
    `${counted(steps, "step")} ${formatDuration(sampling)} (${formatPace(sampling / steps)})`,
    `VAE ${formatDuration(times.vaeMs)}`,
  ];
  return `done in ${formatDuration(totalMs)} on ${ran.device}: ${parts.join(", ")}`;
}
