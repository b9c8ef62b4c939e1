import { Argument, type Command } from "commander";
import { TintypeError } from "../../src/util/errors.js";
import { unknownName } from "../../src/util/nearest.js";
import { TRAINING_NAMES } from "../names.js";
import { words } from "../options.js";
import type { Terminal } from "../terminal.js";
import type { TrainingName, TrainOptions } from "../train/options.js";

const DESCRIPTION =
  "Trains a model. A run is a folder: its settings, curves, sample pictures and checkpoints, and " +
  "at the end the model, as diffusers has it. Ctrl-C finishes the step and saves it; a run that was " +
  "stopped or killed goes on with --resume as if nothing had happened.";

/** Adds `tintype train`. */
export function addTrain(program: Command, terminal: Terminal): void {
  const kind = new Argument("<KIND>").choices(TRAINING_NAMES).argParser((name: string) => {
    if ((TRAINING_NAMES as readonly string[]).includes(name)) return name;
    throw new TintypeError("bad-argument", unknownName("training", name, TRAINING_NAMES));
  });
  program
    .command("train")
    .summary("train an autoencoder, a text encoder or a diffusion model")
    .description(DESCRIPTION)
    .addArgument(kind)
    .usage("autoencoder|clip|diffusion [options]")
    .addOption(words("--config <FILE>", "settings, as JSON"))
    .addOption(
      words(
        "--set <KEY=VALUE>",
        "one setting, such as learningRate.peak=1e-4; may be repeated",
      ).argParser((text: string, before: readonly string[] = []) => [...before, text]),
    )
    .addOption(words("--out <FOLDER>", "the new run").default(undefined, "runs/KIND-001, ..."))
    .addOption(words("--resume <RUN>", "go on with this run; the settings are its own"))
    .option("--export", "with --resume: only write the model as it is so far")
    .helpOption("-h, --help", "show this help")
    .addHelpText("after", EXAMPLES)
    .action(async (name: TrainingName, options: TrainOptions) => {
      const { runTraining } = await import("../train/run.js");
      await runTraining(name, options, terminal);
    });
}

const EXAMPLES = `
Settings are listed in docs/training.md.

Examples:
  tintype train autoencoder --config autoencoder.json --out runs/ae
  tintype train diffusion --config diffusion.json --set steps=20000 --set optimizer.kind=lion
  tintype train diffusion --resume runs/diffusion-001
  tintype train diffusion --resume runs/diffusion-001 --set steps=40000
  tintype train diffusion --resume runs/diffusion-001 --export`;
