import type { Command } from "commander";
import type { InspectOptions } from "../inspect/types.js";
import type { Terminal } from "../terminal.js";

/** Adds `tintype inspect`. */
export function addInspect(program: Command, terminal: Terminal): void {
  program
    .command("inspect")
    .summary("say what a model file, a model folder or a picture holds")
    .description(
      "Says what is in a model: family, components, parameters, element types, the memory that " +
        "each device would need, missing and unknown keys. Of a picture (.png) it says how it was made.",
    )
    .argument("<REF>")
    .usage("FILE_OR_FOLDER [options]")
    .option("--json", "print one JSON object")
    .action(async (ref: string, options: InspectOptions) => {
      const { inspect } = await import("../inspect/run.js");
      await inspect(ref, options, terminal);
    });
}
