import type { Command } from "commander";
import type { Terminal } from "../terminal.js";

/** Adds `tintype cache ls` and `tintype cache clear`. */
export function addCache(program: Command, terminal: Terminal): void {
  const cache = program
    .command("cache")
    .summary("show or clear the cache of compiled models")
    .description(
      "Tintype keeps models as the processor wants them, so that the next start is quick, ranges that were " +
        "measured for 8 bits, and models of benchmarks. All of it can be made again. (Downloaded models lie elsewhere, in the Hugging Face cache.)",
    )
    .helpCommand(false)
    .usage("ls|clear");
  cache
    .command("ls")
    .summary("list what is in it, the last used first")
    .description("Lists what is in the cache, the last used first.")
    .usage("[options]")
    .option("--json", "print one JSON object")
    .action(async (options: { readonly json?: boolean }) => {
      const { showCache } = await import("../cache.js");
      await showCache(options, terminal);
    });
  cache
    .command("clear")
    .summary("delete all of it")
    .description("Deletes all of the cache.")
    .usage("")
    .action(async () => {
      const { emptyCache } = await import("../cache.js");
      await emptyCache(terminal);
    });
}
