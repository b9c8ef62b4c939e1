import { Command, type Help, type Option } from "commander";
import { VERSION } from "../src/util/version.js";
import { addBench } from "./commands/bench.js";
import { addCache } from "./commands/cache.js";
import { addCalibrate } from "./commands/calibrate.js";
import { addCompletion } from "./commands/completion.js";
import { addDevices } from "./commands/devices.js";
import { addEvaluate } from "./commands/evaluate.js";
import { addGenerate } from "./commands/generate.js";
import { addInspect } from "./commands/inspect.js";
import { addProfile } from "./commands/profile.js";
import { addTrain } from "./commands/train.js";
import { EXIT, report } from "./report.js";
import type { Terminal } from "./terminal.js";

/** Runs a command line; returns the exit code. */
export async function runCli(args: readonly string[], terminal: Terminal): Promise<number> {
  const program = buildProgram(terminal);
  try {
    await program.parseAsync(args, { from: "user" });
    return EXIT.ok;
  } catch (error) {
    const known = program.commands.some((command) => command.name() === args[0]);
    return report(error, terminal, known ? `tintype ${args[0]}` : "tintype");
  }
}

/** All commands, with their options and help. */
export function buildProgram(terminal: Terminal): Command {
  const program = new Command("tintype")
    .description("Stable Diffusion in TypeScript: pictures from prompts, without Python.")
    .version(VERSION, "-V, --version", "show the version")
    .helpOption("-h, --help", "show this help")
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      writeOut: terminal.out,
      writeErr: terminal.err,
      outputError: () => {},
      getOutHelpWidth: () => Math.min(100, process.stdout.columns ?? 80),
    })
    .configureHelp(HELP)
    .usage("COMMAND ...")
    .addHelpText("after", EXAMPLES);
  addGenerate(program, terminal);
  addInspect(program, terminal);
  addTrain(program, terminal);
  addEvaluate(program, terminal);
  addCalibrate(program, terminal);
  addBench(program, terminal);
  addProfile(program, terminal);
  addDevices(program, terminal);
  addCache(program, terminal);
  addCompletion(program, terminal);
  return program;
}

const EXAMPLES = `
Examples:
  tintype generate "A futuristic cityscape at night"
  tintype generate "a cat" --model stable-diffusion-v1-5/stable-diffusion-v1-5
  tintype inspect model.safetensors
  tintype train diffusion --config config.json

tintype generate --help tells more.`;

const plain = (flags: string): string => flags.replace(/<([^>]+)>/g, "$1");

const HELP: Partial<Help> = {
  optionTerm: (option) => plain(option.flags),
  optionDescription(option: Option) {
    const { defaultValue, defaultValueDescription, description } = option;
    const initial = defaultValueDescription ?? defaultValue;
    return initial === undefined || initial === false
      ? description
      : `${description} (default ${initial})`;
  },
  subcommandTerm: (command) => `${command.name()} ${command.usage()}`.replace(" [options]", ""),
  subcommandDescription: (command) => command.summary(),
  visibleArguments: () => [], // the usage line and the description tell
};
