import { expect, test } from "vitest";
import { componentsOf, filesNeeded, missingParts, type Selection } from "./select.js";

const list = (...paths: string[]): { path: string }[] => paths.map((path) => ({ path }));
const needed = (paths: readonly string[], selection?: Selection): string[] =>
  filesNeeded(list(...paths), selection).map(({ path }) => path);

/** The weights and configs of one component of a pipeline. */
const unet = (names: readonly string[], selection: Selection = {}): string[] =>
  needed(
    ["model_index.json", "unet/config.json", ...names.map((name) => `unet/${name}`)],
    selection,
  )
    .filter((path) => path.startsWith("unet/") && path !== "unet/config.json")
    .map((path) => path.slice("unet/".length));

const STEM = "diffusion_pytorch_model";
const ALL = [
  `${STEM}.bin`,
  `${STEM}.fp16.bin`,
  `${STEM}.fp16.safetensors`,
  `${STEM}.non_ema.bin`,
  `${STEM}.non_ema.safetensors`,
  `${STEM}.safetensors`,
  "flax_model.msgpack",
  "model.onnx",
  "openvino_model.bin",
];

test("one form of the weights: safetensors, plain or of the asked variant", () => {
  expect(unet(ALL)).toEqual([`${STEM}.safetensors`]);
  expect(unet(ALL, { variant: "fp16" })).toEqual([`${STEM}.fp16.safetensors`]);
  expect(unet(ALL, { variant: "non_ema" })).toEqual([`${STEM}.non_ema.safetensors`]);
  expect(unet(ALL, { variant: "bf16" })).toEqual([`${STEM}.safetensors`]);
  expect(unet(ALL, { weights: false })).toEqual([]);
  expect(unet([`${STEM}.bin`, `${STEM}.fp16.bin`])).toEqual([`${STEM}.bin`]);
  expect(unet([`${STEM}.non_ema.safetensors`, `${STEM}.fp16.safetensors`])).toEqual([
    `${STEM}.fp16.safetensors`,
  ]);
});

test("shards come with the index of the same variant", () => {
  const plain = [
    `${STEM}-00001-of-00002.safetensors`,
    `${STEM}-00002-of-00002.safetensors`,
    `${STEM}.safetensors.index.json`,
  ];
  const fp16 = [
    `${STEM}.fp16-00001-of-00002.safetensors`,
    `${STEM}.fp16-00002-of-00002.safetensors`,
    `${STEM}.safetensors.index.fp16.json`,
  ];
  const older = [`${STEM}-00001-of-00001.fp16.safetensors`, `${STEM}.safetensors.index.fp16.json`];
  expect(unet([...plain, ...fp16])).toEqual(plain);
  expect(unet([...plain, ...fp16], { variant: "fp16" })).toEqual(fp16);
  expect(unet([...plain, ...older], { variant: "fp16" })).toEqual(older);
  expect(unet([...plain, `${STEM}.safetensors`])).toEqual([`${STEM}.safetensors`]);
});

test("a pipeline takes its components, and nothing from its root or its extras", () => {
  const paths = [
    "README.md",
    "model_index.json",
    "sd-v1-5.ckpt",
    "sd-v1-5.safetensors",
    "safety_checker/config.json",
    "safety_checker/model.safetensors",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "vae/config.json",
    `vae/${STEM}.safetensors`,
    "vae_1_0/config.json",
  ];
  const wanted = (path: string): boolean =>
    path.includes("/") && !/^(safety_checker|vae_1_0)/.test(path);
  expect(needed(paths)).toEqual(["model_index.json", ...paths.filter(wanted)]);
  expect(needed(paths, { components: ["safety_checker"] })).toEqual([
    "model_index.json",
    "safety_checker/config.json",
    "safety_checker/model.safetensors",
  ]);
});

test("a component alone, or one checkpoint with its config", () => {
  const vae = ["README.md", "config.json", `${STEM}.bin`, `${STEM}.safetensors`];
  expect(needed(vae)).toEqual(["config.json", `${STEM}.safetensors`]);
  const single = ["a.ckpt", "a.safetensors", "a.yaml", "b.ckpt", "b.yaml", "sub/c.safetensors"];
  expect(needed(single)).toEqual(["a.safetensors", "a.yaml"]);
});

test("too many checkpoints, or none, are explained", () => {
  expect(() => needed(["a.safetensors", "b.safetensors"])).toThrowErrorMatchingInlineSnapshot(
    `[TintypeError: it has several checkpoints; name one, as in owner/name:a.safetensors. Choices: a.safetensors, b.safetensors.]`,
  );
  expect(() => needed(["README.md", "model.onnx"])).toThrowErrorMatchingInlineSnapshot(
    `[TintypeError: it has no model_index.json and no .safetensors or .ckpt file at its root, so it is no Stable Diffusion that Tintype can read.]`,
  );
  expect(() => needed(["a.ckpt"], { weights: false })).toThrowErrorMatchingInlineSnapshot(
    `[TintypeError: it has no model_index.json, so it is no diffusers pipeline whose settings could be read.]`,
  );
});

test("missing parts are named, against the classes of model_index.json", () => {
  const index = {
    _class_name: "StableDiffusionPipeline",
    feature_extractor: ["transformers", "CLIPImageProcessor"],
    image_encoder: [null, null],
    requires_safety_checker: true,
    safety_checker: ["stable_diffusion", "StableDiffusionSafetyChecker"],
    scheduler: ["diffusers", "PNDMScheduler"],
    tokenizer: ["transformers", "CLIPTokenizer"],
    unet: ["diffusers", "UNet2DConditionModel"],
  };
  const parts = componentsOf(index);
  expect([...parts.keys()]).toEqual(["scheduler", "tokenizer", "unet"]);
  const some = ["scheduler/scheduler_config.json", "tokenizer/vocab.json", "unet/config.json"];
  expect(missingParts([], parts)).toEqual(["scheduler", "tokenizer", "unet"]);
  expect(missingParts(list(...some), parts)).toEqual(["unet (weights)"]);
  const shard = `unet/${STEM}-00001-of-00002.safetensors`;
  expect(missingParts(list(...some, shard), parts)).toEqual(["unet (weights)"]);
  const whole = list(...some, `unet/${STEM}.safetensors`);
  expect(missingParts(whole, parts)).toEqual([]);
  expect(missingParts(whole, parts, { variant: "fp16" })).toEqual(["unet (weights)"]);
  for (const junk of [null, 3, "x", []]) expect(componentsOf(junk).size).toBe(0);
});
