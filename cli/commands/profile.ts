import type { Command } from "commander";
import { DTYPES } from "../generate/options.js";
import { oneOf, pixels, whole, words } from "../options.js";
import { PROFILE_PARTS, type ProfileOptions } from "../profile/options.js";
import type { Terminal } from "../terminal.js";

const DESCRIPTION =
  "Shows where the time of one part of a model goes on the CPU, by layer and by operator: of a guided " +
  "step, a decode, an encoded picture or the prompts.";

/** Adds `tintype profile`. */
export function addProfile(program: Command, terminal: Terminal): void {
  program
    .command("profile")
    .summary("show where the time of a step goes")
    .description(DESCRIPTION)
    .usage("[options]")
    .addOption(words("--model <REF>", "model to profile").default(undefined, "Tintype's own"))
    .addOption(oneOf("--part <NAME>", PROFILE_PARTS.join(", "), PROFILE_PARTS).default("unet"))
    .addOption(oneOf("--dtype <NAME>", `compute in ${DTYPES.join(", ")}`, DTYPES).default("auto"))
    .addOption(
      pixels("--size <N>", "side of the picture, in pixels").default(undefined, "the model's"),
    )
    .addOption(whole("--batch-size <N>", "pictures at once", { min: 1, max: 4096 }).default(1))
    .addOption(
      whole("--depth <N>", "modules of a layer's name that are told apart", {
        min: 1,
        max: 100,
      }).default(undefined, "2; 3 for all but the UNet"),
    )
    .addOption(
      whole("--runs <N>", "runs, after one that warms up", { min: 1, max: 1000 }).default(3),
    )
    .addOption(
      whole("--threads <N>", "CPU threads", { min: 1, max: 1024 }).default(undefined, "all cores"),
    )
    .option("--json", "print one JSON object: all layers and operators")
    .helpOption("-h, --help", "show this help")
    .addHelpText("after", EXAMPLES)
    .action(async (options: ProfileOptions) => {
      const { runProfile } = await import("../profile/run.js");
      await runProfile(options, terminal);
    });
}

const EXAMPLES = `
Examples:
  tintype profile --model stable-diffusion-v1-5/stable-diffusion-v1-5
  tintype profile --model model.safetensors --size 768 --depth 4
  tintype profile --part decoder --json`;
