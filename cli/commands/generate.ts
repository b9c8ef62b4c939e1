import type { Command } from "commander";
import { DEFAULT_GUIDANCE_SCALE, DEFAULT_STEPS } from "../../src/pipelines/defaults.js";
import { DEEP_CACHE_POWER } from "../../src/pipelines/shortcuts.js";
import { DEVICES, DTYPES, type GenerateOptions, TILINGS } from "../generate/options.js";
import { SAMPLER_NAMES, SCHEDULE_NAMES } from "../names.js";
import { oneOf, pixels, range, real, seed, whole, words } from "../options.js";
import type { Terminal } from "../terminal.js";

const PREDICTIONS = ["auto", "eps", "v"] as const;
const RNGS = ["cpu", "cuda"] as const;
const OWN_SIZE = "the model's or the picture's";

/** More than any model was trained on, or any machine holds. */
const MAX = {
  steps: 1000,
  guidance: 1000,
  batch: 4096,
  count: 100_000,
  threads: 1024,
  cache: 1000,
  branch: 100,
  power: 10,
  cell: 8,
  overlap: 8192,
};

const DESCRIPTION =
  "Makes pictures from a prompt, or changes the picture that --init-image names. " +
  "A REF is a file (.safetensors, .ckpt), a diffusers folder, or a Hugging Face model as " +
  "owner/name, owner/name@revision or owner/name:file, which the first run downloads.";

/** Adds `tintype generate`. */
export function addGenerate(program: Command, terminal: Terminal): void {
  const command = program
    .command("generate")
    .summary("make pictures from a prompt")
    .description(DESCRIPTION)
    .argument("<PROMPT>")
    .usage("PROMPT [options]")
    .addHelpText("after", EXAMPLES);
  addPictureOptions(command);
  addInputOptions(command);
  addModelOptions(command);
  addMachineOptions(command);
  addShortcutOptions(command);
  addOutputOptions(command);
  command.action(async (prompt: string, options: GenerateOptions) => {
    const { generate } = await import("../generate/run.js");
    await generate(prompt, options, terminal);
  });
}

function addPictureOptions(command: Command): void {
  command
    .optionsGroup("The picture:")
    .addOption(words("--negative-prompt <S>", "what not to show", { empty: true }))
    .addOption(
      whole("--steps <N>", "denoising steps", { min: 1, max: MAX.steps }).default(
        undefined,
        `the model's, or ${DEFAULT_STEPS}`,
      ),
    )
    .addOption(
      real("--cfg-scale <X>", "weight of the prompt; 1: no guidance", {
        min: 0,
        max: MAX.guidance,
      }).default(undefined, `the model's, or ${DEFAULT_GUIDANCE_SCALE}`),
    )
    .addOption(
      words("--sampler <NAME>", "how steps are taken")
        .choices(SAMPLER_NAMES)
        .argParser(String)
        .default(undefined, "the model's"),
    )
    .addOption(
      words("--schedule <NAME>", "which noise levels")
        .choices(SCHEDULE_NAMES)
        .argParser(String)
        .default(undefined, "the model's"),
    )
    .addOption(real("--eta <X>", "noise of ddim, 0 to 1", { min: 0, max: 1 }).default(0))
    .addOption(seed("--seed <N>", "picture k has seed N + k").default(undefined, "random"))
    .addOption(oneOf("--rng <NAME>", "noise as PyTorch's cpu or cuda", RNGS).default("cpu"))
    .addOption(pixels("--width <N>", "multiple of 8").default(undefined, OWN_SIZE))
    .addOption(pixels("--height <N>", "multiple of 8").default(undefined, OWN_SIZE))
    .addOption(whole("--batch-size <N>", "pictures at once", { min: 1, max: MAX.batch }).default(1))
    .addOption(
      whole("--batch-count <N>", "batches one after the other", {
        min: 1,
        max: MAX.count,
      }).default(1),
    );
}

function addInputOptions(command: Command): void {
  command
    .optionsGroup("From a picture:")
    .addOption(words("--init-image <FILE>", "picture to begin with"))
    .addOption(words("--mask <FILE>", "white where the picture is repainted"))
    .addOption(
      real("--strength <X>", "how much is made anew", {
        min: 0,
        max: 1,
        above: true,
      }).default(undefined, "0.8, with --mask 1"),
    );
}

function addModelOptions(command: Command): void {
  command
    .optionsGroup("The model:")
    .addOption(words("--model <REF>", "model to use").default(undefined, "Tintype's own"))
    .addOption(words("--config <REF>", "diffusers folder that says what a single file cannot"))
    .addOption(words("--vae <REF>", "another autoencoder"))
    .addOption(words("--variant <NAME>", "weights of a folder to take, such as fp16"))
    .addOption(
      oneOf("--prediction <KIND>", "what it predicts: auto, eps, v", PREDICTIONS).default("auto"),
    );
}

function addMachineOptions(command: Command): void {
  command
    .optionsGroup("The machine:")
    .addOption(oneOf("--device <NAME>", DEVICES.join(", "), DEVICES).default("auto"))
    .addOption(
      oneOf(
        "--dtype <NAME>",
        `compute in ${DTYPES.join(", ")}; int8 is quick on a CPU`,
        DTYPES,
      ).default("auto"),
    )
    .addOption(
      whole("--threads <N>", "CPU threads", { min: 1, max: MAX.threads }).default(
        undefined,
        "all cores",
      ),
    )
    .option("--low-memory", "keep one part of the model in memory at a time")
    .addOption(
      oneOf("--vae-tiling <WHEN>", "autoencoder in tiles: auto, on, off", TILINGS).default("auto"),
    )
    .addOption(pixels("--vae-tile <N>", "side of a tile; implies on").default(undefined, "512"))
    .addOption(
      whole("--vae-overlap <N>", "what tiles share; implies on", {
        min: 0,
        max: MAX.overlap,
      }).default(undefined, "64"),
    );
}

function addShortcutOptions(command: Command): void {
  const { cache, branch, power, cell } = MAX;
  command
    .optionsGroup("Less work, for a slightly different picture:")
    .addOption(
      range("--guidance-steps <A:B>", "guide steps A to B only, counted from 0; halves others"),
    )
    .addOption(
      whole("--deep-cache <N>", "reuse deep features for N steps", { min: 1, max: cache }).default(
        1,
      ),
    )
    .addOption(
      whole("--deep-cache-branch <N>", "0 reuses most; more, less", {
        min: 0,
        max: branch,
      }).default(0),
    )
    .addOption(
      real("--deep-cache-power <X>", "1: evenly; above: reuse less at first", {
        min: 1,
        max: power,
      }).default(DEEP_CACHE_POWER),
    )
    .addOption(
      whole("--merge-tokens <N>", "merge N x N tokens in self-attention", {
        min: 1,
        max: cell,
      }).default(1),
    );
}

function addOutputOptions(command: Command): void {
  command
    .optionsGroup("The output:")
    .addOption(
      words("--output <FILE.png>", "%d: number of the picture").default(
        undefined,
        "PROMPT-SEED.png",
      ),
    )
    .option("--json", "print one JSON object: settings, files, timings")
    .helpOption("-h, --help", "show this help");
}

/** Names in lines of a width that people read well, each after the first indented. */
function wrapped(names: readonly string[], indent: string): string {
  const lines: string[] = [];
  for (const name of names) {
    const longer = lines.length === 0 ? name : `${lines.at(-1)}, ${name}`;
    if (lines.length === 0 || longer.length > 66) lines.push(name);
    else lines[lines.length - 1] = longer;
  }
  return lines.join(`,\n${indent}`);
}

const EXAMPLES = `
Samplers:   ${wrapped(SAMPLER_NAMES, "            ")}
Schedules:  ${wrapped(SCHEDULE_NAMES, "            ")}
            Other programs' names are understood: "DPM++ 2M Karras".

Examples:
  tintype generate "a lighthouse at dusk" --seed 7 --output lighthouse.png
  tintype generate "a cat" --model v1-5-pruned-emaonly.safetensors --steps 25
  tintype generate "a watercolour" --init-image photo.jpg --strength 0.6
  tintype generate "a red door" --init-image house.png --mask door.png
  tintype generate "a fox" --batch-size 2 --batch-count 4 --output fox-%d.png`;
