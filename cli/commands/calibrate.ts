import type { Command, Option } from "commander";
import { THOROUGH_CALIBRATION } from "../../src/pipelines/calibrationPlans.js";
import type { CalibrateOptions } from "../calibrate/options.js";
import { pixels, real, seed, whole, words } from "../options.js";
import type { Terminal } from "../terminal.js";

const DESCRIPTION =
  "Measures how large the results of a model's layers become, so that --dtype int8 rounds them well: draws " +
  "pictures in 8 bits, over ranges that are wide enough, and keeps what it saw in the cache folder. The " +
  "first picture in int8 does this quickly by itself; prompts like those that will be drawn do it better.";

const OWN_SIZE = "the model's";

/** Adds `tintype calibrate`. */
export function addCalibrate(program: Command, terminal: Terminal): void {
  const { prompts, steps, room } = THOROUGH_CALIBRATION;
  program
    .command("calibrate")
    .summary("measure a model for pictures in int8")
    .description(DESCRIPTION)
    .usage("[options]")
    .addOption(words("--model <REF>", "model to measure").default(undefined, "Tintype's own"))
    .addOption(words("--config <REF>", "diffusers folder that says what a single file cannot"))
    .addOption(words("--vae <REF>", "another autoencoder"))
    .addOption(words("--variant <NAME>", "weights of a folder to take, such as fp16"))
    .addOption(repeated(words("--prompt <TEXT>", "what to draw; may be repeated")))
    .addOption(
      words("--prompts <FILE>", "prompts, one in each line").default(
        undefined,
        `${prompts.length} of several kinds`,
      ),
    )
    .addOption(
      whole("--steps <N>", "denoising steps of each", { min: 1, max: 1000 }).default(steps),
    )
    .addOption(pixels("--width <N>", "multiple of 8").default(undefined, OWN_SIZE))
    .addOption(pixels("--height <N>", "multiple of 8").default(undefined, OWN_SIZE))
    .addOption(
      real("--room <X>", "how far beyond what was seen results may go", {
        min: 1,
        max: 10,
      }).default(room),
    )
    .addOption(seed("--seed <N>", "prompt k is drawn with seed N + k").default(0n))
    .addOption(
      whole("--threads <N>", "CPU threads", { min: 1, max: 1024 }).default(undefined, "all cores"),
    )
    .option("--low-memory", "keep one part of the model in memory at a time")
    .option("--json", "print one JSON object: settings, layers, file")
    .helpOption("-h, --help", "show this help")
    .addHelpText("after", EXAMPLES)
    .action(async (options: CalibrateOptions) => {
      const { runCalibration } = await import("../calibrate/run.js");
      await runCalibration(options, terminal);
    });
}

/** The same option, whose values are gathered. */
function repeated(option: Option): Option {
  const one = option.parseArg!;
  return option.argParser((text: string, before: readonly string[] = []) => [
    ...before,
    one(text, ""),
  ]);
}

const EXAMPLES = `
Examples:
  tintype calibrate
  tintype calibrate --model model.safetensors --prompts prompts.txt
  tintype calibrate --model owner/name --prompt "a cat" --prompt "a street at night" --steps 20`;
