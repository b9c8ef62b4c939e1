import { copyFileSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runCli } from "../../cli/program.js";
import { fakeTerminal } from "./fakeTerminal.js";
import {
  changedModel,
  FORMATS,
  MICRO,
  MODELS,
  PICTURES,
  rawSafetensors,
  scratch,
} from "./fixtures.js";

/*
 * Whatever is wrong with what a user gave: one message that names the file, the thing and the fix,
 * exit code 2, no stack trace, nothing on standard output, no output file.
 */

const space = scratch();
const at = (name: string): string => `${space.path}/${name}`;
const before = new Set<string>();

beforeAll(async () => {
  const unet = readFileSync(`${MICRO}/unet/diffusion_pytorch_model.safetensors`);
  const f32 = (shape: readonly number[], from: number, to: number) => {
    return { dtype: "F32", shape, data_offsets: [from, to] };
  };
  const files: Record<string, string | Uint8Array> = {
    "notes.txt": "no model, and no picture either",
    "short.safetensors": unet.subarray(0, 3000),
    "cut.safetensors": unet.subarray(0, unet.length - 1000),
    "huge-header.safetensors": new Uint8Array(16).fill(0xff),
    "length.safetensors": rawSafetensors({ a: f32([4], 0, 8) }, 8),
    "outside.safetensors": rawSafetensors({ a: f32([4], 100, 116) }, 16),
    "overlap.safetensors": rawSafetensors({ a: f32([4], 0, 16), b: f32([4], 8, 24) }, 24),
    "absurd.safetensors": rawSafetensors({ a: f32([2 ** 40, 2 ** 40], 0, 16) }, 16),
    "lora.safetensors": rawSafetensors(
      { "lora_unet_down_blocks_0.lora_up.weight": f32([4], 0, 16) },
      16,
    ),
    "unknown.safetensors": rawSafetensors({ "some.weight": f32([4], 0, 16) }, 16),
    "half.png": readFileSync(`${PICTURES}/init.png`).subarray(0, 500),
  };
  for (const [name, content] of Object.entries(files)) space.file(name, content);
  copyFileSync(`${FORMATS}/hostile.ckpt`, at("hostile.ckpt"));
  mkdirSync(at("empty"));
  mkdirSync(at("folder.png"));
  await changedModel(at("missing"), (tensors) => tensors.delete("conv_in.bias"));
  await changedModel(at("surplus"), (tensors) => {
    tensors.set("conv_in.extra", tensors.get("conv_in.bias")!);
  });
  await changedModel(at("wrong"), (tensors) => {
    tensors.set("conv_in.bias", tensors.get("time_embedding.linear_1.bias")!);
  });
  for (const name of readdirSync(space.path)) before.add(name);
});
afterAll(() => space[Symbol.dispose]());

type Row = readonly [what: string, args: readonly string[], ...says: readonly string[]];

const generate = (...args: readonly string[]): readonly string[] => ["generate", "a cat", ...args];
const model = (name: string): readonly string[] => generate("--model", `@${name}`);
const INIT = ["--init-image", `${PICTURES}/init.png`];

const ROWS: readonly Row[] = [
  ["no prompt", ["generate"], '"PROMPT"', "tintype generate --help"],
  ["a prompt without quotes", ["generate", "a", "cat"], "quotes"],
  ["a command that is none", ["genrate", "a"], '"genrate"', "Did you mean generate"],
  ["a prompt as command", ["a cat"], '"a cat"', "tintype generate"],
  ["an unknown option", generate("--stepz", "3"), '"--stepz"', "Did you mean --steps"],
  ["an option without its value", generate("--steps"), "--steps"],
  ["a shell that is none", ["completion", "fsh"], '"fsh"', "bash, zsh, fish"],
  ["a word after cache", ["cache", "lss"], '"lss"', "ls"],

  ["0 steps", generate("--steps", "0"), "--steps", "1 to 1000", "got 0"],
  ["10^9 steps", generate("--steps", "1000000000"), "--steps", "1 to 1000"],
  ["1e9 steps", generate("--steps", "1e9"), "--steps", "1 to 1000"],
  ["2.5 steps", generate("--steps", "2.5"), "--steps", "whole number"],
  ["NaN guidance", generate("--cfg-scale", "NaN"), "--cfg-scale", '"NaN"'],
  ["infinite guidance", generate("--cfg-scale", "Infinity"), "--cfg-scale", '"Infinity"'],
  ["huge guidance", generate("--cfg-scale", "1e40"), "--cfg-scale", "1e40"],
  ["no number", generate("--cfg-scale", "much"), "--cfg-scale", '"much"'],
  ["an empty number", generate("--cfg-scale", ""), "--cfg-scale"],
  [
    "a width that is no multiple of 8",
    generate("--width", "9"),
    "--width",
    "multiple of 8",
    "Try 8",
  ],
  ["a height that is no multiple of 8", generate("--height", "500"), "--height", "Try 504"],
  ["an absurd width", generate("--width", "10000000"), "--width", "16384"],
  ["a negative height", generate("--height", "-64"), "--height"],
  ["a negative batch", generate("--batch-size", "-1"), "--batch-size"],
  ["no batches", generate("--batch-count", "0"), "--batch-count"],
  ["too many pictures", generate("--batch-size", "4096", "--batch-count", "100000"), "100000"],
  ["a negative seed", generate("--seed", "-1"), "--seed", "Leave it out"],
  ["a seed of 2^64", generate("--seed", "18446744073709551616"), "--seed"],
  [
    "seeds that pass 2^64",
    generate("--seed", "18446744073709551615", "--batch-size", "2"),
    "--seed",
  ],
  ["a broken seed", generate("--seed", "1.5"), "--seed", "whole number"],
  ["eta beyond 1", generate("--eta", "1.1"), "--eta", "0 to 1"],
  ["no threads", generate("--threads", "0"), "--threads"],

  ["an unknown sampler", generate("--sampler", "eulr"), "--sampler", '"eulr"', '"euler"'],
  ["an unknown schedule", generate("--schedule", "kerras"), "--schedule", '"karras"'],
  ["an unknown device", generate("--device", "cudaa"), "--device", '"cuda"'],
  ["an unknown dtype", generate("--dtype", "fp8"), "--dtype", '"fp32"'],
  ["an unknown prediction", generate("--prediction", "epsilon"), "--prediction", "eps"],
  ["an unknown generator", generate("--rng", "gpu"), "--rng", "cpu, cuda"],
  [
    "a schedule that its sampler cannot take",
    generate("--model", MICRO, "--sampler", "ddim", "--schedule", "karras"),
    "ddim",
    '"karras"',
  ],

  [
    "a mask without a picture",
    generate("--mask", `${PICTURES}/mask.png`),
    "--mask",
    "--init-image",
  ],
  ["a strength without a picture", generate("--strength", "0.5"), "--strength", "--init-image"],
  ["strength 0", generate(...INIT, "--strength", "0"), "--strength", "above 0"],
  [
    "a strength that leaves no step",
    generate(...INIT, "--strength", "0.01", "--sampler", "ddim", "--model", MICRO),
    "strength 0.01",
    "raise",
  ],
  [
    "a picture that is not there",
    generate("--init-image", "@nope.png"),
    "@nope.png",
    "no such file",
  ],
  ["a picture that is none", generate("--init-image", "@notes.txt"), "@notes.txt", "PNG"],
  ["a picture cut short", generate("--init-image", "@half.png"), "@half.png", "picture"],
  ["a picture that is a folder", generate("--init-image", "@empty"), "@empty", "folder"],
  ["a mask that is none", generate(...INIT, "--mask", "@notes.txt"), "@notes.txt", "PNG"],
  [
    "an inpainting model without a mask",
    generate("--model", `${MODELS}/tiny-inpaint`),
    "tiny-inpaint",
    "--mask",
  ],

  ["an output in no folder", generate("--output", "@no/x.png"), "--output", "@no", "Make it"],
  ["an output that is a folder", generate("--output", "@folder.png"), "@folder.png", "folder"],
  [
    "an output below a file",
    generate("--output", "@notes.txt/x.png"),
    "@notes.txt",
    "not a folder",
  ],
  ["an output that is no PNG", generate("--output", "@x.jpg"), "--output", ".png"],

  ["no such model", model("nope"), '"@nope"', "Hugging Face"],
  ["a model with a slip", generate("--model", `${MODELS}/mikro`), `${MODELS}/micro`],
  ["an empty folder", model("empty"), "@empty", "empty"],
  ["a file that is no model", model("notes.txt"), "@notes.txt", ".safetensors"],
  ["a header cut short", model("short.safetensors"), "@short.safetensors", "download it again"],
  ["weights cut short", model("cut.safetensors"), "@cut.safetensors", "cut short", "Download"],
  ["an absurd header", model("huge-header.safetensors"), "@huge-header.safetensors", "header"],
  ["a lying length", model("length.safetensors"), "@length.safetensors", '"a"'],
  ["a lying offset", model("outside.safetensors"), "@outside.safetensors", '"a"'],
  ["overlapping tensors", model("overlap.safetensors"), "@overlap.safetensors", '"b"'],
  ["an absurd shape", model("absurd.safetensors"), "@absurd.safetensors", '"a"'],
  [
    "a pickle that calls os.system",
    model("hostile.ckpt"),
    "@hostile.ckpt",
    "posix.system",
    "nothing was executed",
  ],
  ["a LoRA", model("lora.safetensors"), "@lora.safetensors", "a LoRA"],
  ["an unknown architecture", model("unknown.safetensors"), "@unknown.safetensors", "some.weight"],
  ["a missing key", model("missing"), "@missing", '"conv_in.bias"', "missing"],
  ["a surplus key", model("surplus"), "@surplus", '"conv_in.extra"'],
  ["a wrong shape", model("wrong"), "@wrong", "conv_in.bias", "[4]"],
  [
    "a single file that needs a config",
    generate("--model", `${MODELS}/micro.safetensors`),
    "micro.safetensors",
    "--config",
  ],
  ["a config for a folder", generate("--model", MICRO, "--config", MICRO), "--config"],
  ["a VAE that is none", generate("--model", MICRO, "--vae", "@unknown.safetensors"), "VAE"],
  [
    "too little memory",
    generate("--model", MICRO, "--width", "16384", "--height", "16384", "--batch-size", "4096"),
    "of memory",
    "smaller",
  ],

  ["inspecting nothing", ["inspect", "@nope"], '"@nope"'],
  ["inspecting an empty folder", ["inspect", "@empty"], "@empty"],
  ["inspecting what is no model", ["inspect", "@notes.txt"], "@notes.txt"],
  ["inspecting a hostile pickle", ["inspect", "@hostile.ckpt"], "posix.system"],
  ["inspecting a header cut short", ["inspect", "@short.safetensors"], "@short.safetensors"],
  ["inspecting a picture cut short", ["inspect", "@half.png"], "@half.png"],
];

describe("bad input", () => {
  test.each(ROWS.map(([what, args, ...says]) => ({ what, args, says })))("$what", async (row) => {
    const { args, says } = row;
    const placed = (text: string): string => text.replaceAll("@", `${space.path}/`);
    const outputs = args[0] === "generate" && !args.includes("--output");
    const line = [...args.map(placed), ...(outputs ? ["--output", at("out.png")] : [])];
    const terminal = fakeTerminal();
    const code = await runCli(line, terminal);
    const message = terminal.stderr();
    expect(code, message).toBe(2);
    expect(terminal.stdout()).toBe("");
    expect(message).toMatch(/(^|\n)tintype: [^\n]+\n$/);
    expect(message).not.toMatch(/\n\s+at |internal:|bug/);
    for (const part of says) expect(message).toContain(placed(part));
    expect(readdirSync(space.path).filter((name) => !before.has(name))).toEqual([]);
  });
});
