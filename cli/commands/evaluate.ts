import type { Command } from "commander";
import type { EvaluateOptions } from "../evaluate/options.js";
import { DEVICES, DTYPES } from "../generate/options.js";
import { SAMPLER_NAMES } from "../names.js";
import { oneOf, real, seed, whole, words } from "../options.js";
import type { Terminal } from "../terminal.js";

const DESCRIPTION =
  "Measures a model that draws postcards: makes a picture for each of many prompts whose " +
  "combinations its training never saw, and lets a judge, a classifier trained on painted " +
  "pictures, say what is in them. Writes a report with all pictures.";

/** Adds `tintype evaluate`. */
export function addEvaluate(program: Command, terminal: Terminal): void {
  program
    .command("evaluate")
    .summary("measure how well a model does what postcard prompts say")
    .description(DESCRIPTION)
    .usage("[options]")
    .addOption(words("--model <REF>", "model to measure").default(undefined, "Tintype's own"))
    .addOption(
      whole("--prompts <N>", "prompts, a picture each", { min: 2, max: 100_000 }).default(200),
    )
    .addOption(seed("--seed <N>", "picture k has seed N + k").default(0n))
    .addOption(
      whole("--steps <N>", "denoising steps", { min: 1, max: 1000 }).default(
        undefined,
        "the model's",
      ),
    )
    .addOption(
      real("--guidance-scale <X>", "weight of the prompt; 1: no guidance", {
        min: 0,
        max: 1000,
      }).default(undefined, "the model's"),
    )
    .addOption(
      words("--sampler <NAME>", "how steps are taken")
        .choices(SAMPLER_NAMES)
        .argParser(String)
        .default(undefined, "the model's"),
    )
    .addOption(whole("--batch-size <N>", "pictures at once", { min: 1, max: 4096 }).default(8))
    .addOption(words("--judge <FOLDER>", "another judge").default(undefined, "Tintype's own"))
    .addOption(oneOf("--device <NAME>", DEVICES.join(", "), DEVICES).default("auto"))
    .addOption(oneOf("--dtype <NAME>", `compute in ${DTYPES.join(", ")}`, DTYPES).default("auto"))
    .addOption(
      whole("--threads <N>", "CPU threads", { min: 1, max: 1024 }).default(undefined, "all cores"),
    )
    .addOption(words("--out <FOLDER>", "report.html, results.json, pictures").default("evaluation"))
    .option("--json", "print one JSON object: what was measured")
    .helpOption("-h, --help", "show this help")
    .addHelpText("after", EXAMPLES)
    .action(async (options: EvaluateOptions) => {
      const { runEvaluation } = await import("../evaluate/run.js");
      await runEvaluation(options, terminal);
    });
}

const EXAMPLES = `
Examples:
  tintype evaluate --prompts 16
  tintype evaluate --model runs/diffusion-001/model --out before --json`;
