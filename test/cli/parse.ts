import type { GenerateOptions } from "../../cli/generate/options.js";
import { buildProgram } from "../../cli/program.js";
import { fakeTerminal } from "./fakeTerminal.js";

/** Prompt and options of a `tintype generate` command line, as the command gets them. */
export async function parseGenerate(
  args: readonly string[],
): Promise<{ readonly prompt: string; readonly options: GenerateOptions }> {
  const program = buildProgram(fakeTerminal());
  const command = program.commands.find((c) => c.name() === "generate")!;
  let parsed: { prompt: string; options: GenerateOptions } | undefined;
  command.action((prompt: string, options: GenerateOptions) => {
    parsed = { prompt, options };
  });
  await program.parseAsync(["generate", ...args], { from: "user" });
  return parsed!;
}
