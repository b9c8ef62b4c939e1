import { TintypeError } from "../util/errors.js";

/** Where the time of one picture of stable-diffusion.cpp went, in seconds. */
export interface SdcppTimes {
  /** Reading and converting all weights. */
  readonly load: number;
  /** Both prompts; undefined where the output does not say. */
  readonly text: number | undefined;
  /** Each step but the first, in which weights are loaded. */
  readonly steps: readonly number[];
  readonly decode: number | undefined;
}

/** "1.53s" or "120 ms", after what it is that took so long. */
const TAKING = /(.*), taking ([\d.]+) ?(ms|s)\b/;

/** "  |====>   | 3/20 - 1.24s/it", and "it/s" where a step takes less than a second. */
const STEP = /\|\s*(\d+)\/(\d+) - ([\d.]+)(s\/it|it\/s)/g;

/**
 * Times in what `sd-cli -v` prints. Weights are loaded when a part is first used (or before all parts, with
 * --eager-load and in older versions), and that is taken off the part's own time. Throws "bad-file" for
 * output without steps. Source: stable-diffusion.cpp, stable-diffusion.cpp and util.cpp (pretty_progress).
 */
export function parseSdcpp(output: string): SdcppTimes {
  const found: { text?: number; decode?: number; model?: number } = {};
  const steps: number[] = [];
  let [load, loading, isSampling] = [0, 0, false];
  /** A part's time without the loading in it. */
  const own = (seconds: number): number => {
    const time = Math.max(0, seconds - loading);
    loading = 0;
    return time;
  };
  for (const line of output.split(/\r?\n/)) {
    if (isSampling) steps.push(...stepsIn(line));
    if (/ - generate_image \d+x\d+/.test(line)) loading = 0; // all was loaded before
    const [, what = "", value, unit] = TAKING.exec(line) ?? [];
    const seconds = Number(value) / (unit === "ms" ? 1000 : 1);
    if (/loading tensors completed$/.test(what)) {
      load += seconds;
      loading += seconds;
    } else if (/loading model from .* completed$/.test(what)) {
      found.model = seconds;
    } else if (/get_learned_condition completed$/.test(what)) {
      found.text = own(seconds);
      isSampling = true;
    } else if (/ sampling completed$/.test(what)) {
      own(seconds);
      isSampling = false;
    } else if (/decode_first_stage completed$/.test(what)) {
      found.decode = own(seconds);
    }
  }
  if (steps.length === 0) {
    throw new TintypeError(
      "bad-file",
      "stable-diffusion.cpp printed no steps that Tintype can read. Use a version of 2024 or later.",
    );
  }
  const { text, decode, model } = found;
  return { load: load === 0 ? (model ?? 0) : load, text, steps, decode };
}

/** Seconds of the steps in a line of progress bars, without the first step. */
function stepsIn(line: string): number[] {
  return [...line.matchAll(STEP)]
    .filter(([, i]) => Number(i) > 1)
    .map(([, , , value, unit]) => (unit === "s/it" ? Number(value) : 1 / Number(value)));
}

/** Why it failed: its last error that says more than that a file is not there. */
export function sdcppError(output: string): string | undefined {
  const errors = [...output.matchAll(/^\[ERROR\] \S+\s+- (.*)$/gm)].map(([, message]) => message!);
  return errors.findLast((message) => !message.startsWith("failed to open")) ?? errors.at(-1);
}
