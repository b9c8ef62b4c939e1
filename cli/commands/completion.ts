import { Argument, type Command } from "commander";
import { TintypeError } from "../../src/util/errors.js";
import { unknownName } from "../../src/util/nearest.js";
import type { Terminal } from "../terminal.js";

const SHELLS = ["bash", "zsh", "fish"] as const;

/** Adds `tintype completion`. */
export function addCompletion(program: Command, terminal: Terminal): void {
  const shell = new Argument("<SHELL>").choices(SHELLS).argParser((name: string) => {
    if ((SHELLS as readonly string[]).includes(name)) return name;
    throw new TintypeError("bad-argument", unknownName("shell", name, SHELLS));
  });
  program
    .command("completion")
    .summary("print a script that teaches a shell to complete commands")
    .description("Prints a script that teaches a shell to complete Tintype's commands and options.")
    .addArgument(shell)
    .usage("bash|zsh|fish")
    .addHelpText("after", INSTALL)
    .action(async (name: (typeof SHELLS)[number]) => {
      const { completionScript } = await import("../completion.js");
      terminal.out(completionScript(program, name));
    });
}

const INSTALL = `
To install:
  bash   tintype completion bash >> ~/.bashrc
  zsh    tintype completion zsh >> ~/.zshrc
  fish   tintype completion fish > ~/.config/fish/completions/tintype.fish`;
