import type { Command } from "commander";
import {
  type Against,
  BENCH_MODELS,
  BENCH_PARTS,
  type BenchOptions,
  DEFAULT_DTYPES,
  DEFAULT_PARTS,
  parseAgainst,
} from "../bench/options.js";
import { DEVICES, DTYPES } from "../generate/options.js";
import { oneOf, pixels, several, whole, words } from "../options.js";
import type { Terminal } from "../terminal.js";

const DESCRIPTION =
  "Measures how long Tintype takes, part by part and for whole pictures, and how much memory, in " +
  "several dtypes and sizes; beside it diffusers and stable-diffusion.cpp, on the same weights. " +
  "Contestants take turns, each in a process of its own.";

/** Adds `tintype bench`. */
export function addBench(program: Command, terminal: Terminal): void {
  program
    .command("bench")
    .summary("measure speed and memory, also of other programs")
    .description(DESCRIPTION)
    .usage("[options]")
    .addOption(
      words("--model <REF>", `model to measure, or ${BENCH_MODELS.join(", ")}`).default("sd1.5"),
    )
    .addOption(
      several(oneOf("--dtype <LIST>", `of ${DTYPES.join(", ")}`, DTYPES)).default(
        undefined,
        `${DEFAULT_DTYPES.join(",")}, as far as they are to be had`,
      ),
    )
    .addOption(
      several(pixels("--size <LIST>", "sides of pictures, in pixels")).default(
        undefined,
        "the model's",
      ),
    )
    .addOption(
      several(oneOf("--parts <LIST>", `of ${BENCH_PARTS.join(", ")}`, BENCH_PARTS)).default(
        undefined,
        DEFAULT_PARTS.join(","),
      ),
    )
    .addOption(whole("--rounds <N>", "turns that everyone has", { min: 1, max: 1000 }).default(3))
    .addOption(
      whole("--steps <N>", "steps of the whole picture", { min: 1, max: 1000 }).default(20),
    )
    .addOption(
      words("--against <PROGRAM>", "another program, see below; may be repeated").argParser(
        (text: string, before: readonly Against[] = []) => [...before, parseAgainst(text)],
      ),
    )
    .addOption(oneOf("--device <NAME>", DEVICES.join(", "), DEVICES).default("auto"))
    .addOption(
      whole("--threads <N>", "CPU threads", { min: 1, max: 1024 }).default(
        undefined,
        "each program's choice",
      ),
    )
    .addOption(words("--out <FOLDER>", "results.json, chart.svg").default("benchmark"))
    .option("--json", "print one JSON object: what was measured")
    .helpOption("-h, --help", "show this help")
    .addHelpText("after", HELP)
    .action(async (options: BenchOptions) => {
      const { runBench } = await import("../bench/run.js");
      await runBench(options, terminal);
    });
}

const HELP = `
Models:     sd1.5 and sd2.1 are random weights of exactly the published shapes, 4.3 and
            5.2 GB, written once into the cache folder; postcards is Tintype's own model.
Parts:      load     from the start of the process until all is in memory
            cold     the same with an empty cache folder
            text     the prompt and the negative prompt
            step     one call of the UNet with guidance, which doubles its batch
            decode   latents to one picture
            picture  from the start of the process to the file, with peak memory
Programs:   diffusers:PYTHON             an interpreter that has torch and diffusers
            sdcpp:BINARY                 stable-diffusion.cpp's sd-cli, or sd
            diffusers/bf16:PYTHON        in these dtypes alone
            sdcpp/q8_0,q4_0:BINARY

Examples:
  tintype bench --model postcards
  tintype bench --size 512,768 --rounds 5 --out bench-512
  tintype bench --against diffusers:venv/bin/python --against sdcpp:build/bin/sd-cli
  tintype bench --dtype fp32 --parts step,decode --json`;
