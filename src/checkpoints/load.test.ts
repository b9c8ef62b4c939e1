import { beforeAll, describe, expect, test } from "vitest";
import {
  checksum,
  configFiles,
  type Files,
  type KeyAndShape,
  memoryFolder,
  type Part,
  readPublished,
  readTiny,
  safetensors,
  sparseSafetensors,
  type Tiny,
} from "../../test/golden/checkpoints/support.js";
import { type TensorToWrite, writeSafetensors } from "../formats/index.js";
import { type ByteSource, memorySource } from "../util/bytes.js";
import { checkWeights, type Manifest } from "./checkWeights.js";
import { parseClipConfig, parseUNetConfig, parseVaeConfig } from "./diffusersConfig.js";
import { inspectModel } from "./inspect.js";
import { type LoadOptions, loadModelFiles } from "./load.js";
import { withPrediction } from "./prediction.js";
import type { ModelFiles } from "./types.js";

const tiny = readTiny();
const PARTS: readonly Part[] = ["unet", "vae", "text"];

function manifest({ ours }: Tiny, part: Part): Manifest {
  return new Map(ours[part].map(([name, shape]) => [name, shape]));
}

describe.each(["sd1", "sd2-inpaint"])("a single file of a tiny %s", (family) => {
  const golden = tiny[family]!;
  let model: ModelFiles;
  beforeAll(async () => {
    const file = await safetensors("tiny.safetensors", golden.ldm);
    model = await loadModelFiles(file, { config: memoryFolder("config", configFiles(golden)) });
  });

  test("is found out", () => {
    expect(model.family).toBe(family);
    expect(model.name).toBe("tiny.safetensors");
    expect(model.prediction).toBe("epsilon");
    expect(model.scheduler).toEqual({ _class_name: "PNDMScheduler", steps_offset: 1 });
    expect(Object.keys(model.tokenizer)).toEqual(["vocab.json", "merges.txt"]);
  });

  test.each(PARTS)(
    "holds the numbers that diffusers' from_single_file loads as %s",
    async (part) => {
      checkWeights(manifest(golden, part), model[part], part);
      for (const [name, , sum] of golden.ours[part]) {
        expect(await checksum(model[part].weights.get(name)!), name).toBe(sum);
      }
    },
  );

  test("has the config that diffusers wrote", () => {
    const { unet, vae, text } = golden.configs;
    expect(model.unet.config).toEqual(parseUNetConfig(unet, "").config);
    expect(model.vae.config).toEqual(parseVaeConfig(vae, "").config);
    expect(model.text.config).toEqual(parseClipConfig(text, "").config);
  });
});

/** A diffusers folder with the weights that a loaded single file has. */
async function folderOf(
  model: ModelFiles,
  golden: Tiny,
  names: Readonly<Record<Part, string>>,
  rename: (name: string, part: Part) => string = (name) => name,
): Promise<Record<string, string | object | ByteSource>> {
  const files: Record<string, string | object | ByteSource> = configFiles(golden);
  for (const part of PARTS) {
    const tensors = new Map<string, TensorToWrite>();
    for (const [name, { dtype, shape, source, offset, length }] of model[part].weights) {
      tensors.set(rename(name, part), { dtype, shape, bytes: await source.read(offset, length) });
    }
    const chunks: Uint8Array[] = [];
    const write = (bytes: Uint8Array) => Promise.resolve(void chunks.push(bytes.slice()));
    await writeSafetensors(tensors, undefined, { write });
    files[names[part]] = memorySource(names[part], new Uint8Array(Buffer.concat(chunks)));
  }
  return files;
}

const PLAIN: Readonly<Record<Part, string>> = {
  unet: "unet/diffusion_pytorch_model.safetensors",
  vae: "vae/diffusion_pytorch_model.safetensors",
  text: "text_encoder/model.safetensors",
};

describe("a diffusers folder", () => {
  const golden = tiny.sd1!;
  let single: ModelFiles;
  let files: Record<string, string | object | ByteSource>;
  beforeAll(async () => {
    const file = await safetensors("tiny.safetensors", golden.ldm);
    single = await loadModelFiles(file, { config: memoryFolder("config", configFiles(golden)) });
    files = await folderOf(single, golden, PLAIN);
  });
  const load = (changes: Files = {}, options: LoadOptions = {}) =>
    loadModelFiles(memoryFolder("m", { ...files, ...changes }), options);

  async function sameNumbers(model: ModelFiles): Promise<void> {
    for (const part of PARTS) {
      checkWeights(manifest(golden, part), model[part], part);
      for (const [name, , sum] of golden.ours[part]) {
        expect(await checksum(model[part].weights.get(name)!), name).toBe(sum);
      }
    }
  }

  test("gives configs, weights, scheduler and tokenizer", async () => {
    const model = await load();
    await sameNumbers(model);
    expect(model.family).toBe("sd1");
    expect(model.unet.config).toEqual(single.unet.config);
    expect(model.problems).toEqual([]);
    expect(model.unet.file).toBe("m/unet/diffusion_pytorch_model.safetensors");
  });

  test("of old names: text_model., query/key/value/proj_attn, fp16 files alone", async () => {
    const old = await folderOf(
      single,
      golden,
      {
        unet: "unet/diffusion_pytorch_model.fp16.safetensors",
        vae: "vae/diffusion_pytorch_model.fp16.safetensors",
        text: "text_encoder/model.fp16.safetensors",
      },
      (name, part) => {
        if (part === "text") return `text_model.${name}`;
        if (part === "unet") return name;
        const olds = { to_q: "query", to_k: "key", to_v: "value", "to_out.0": "proj_attn" };
        return name.replace(/to_[qkv]\b|to_out\.0/, (new_) => olds[new_ as keyof typeof olds]);
      },
    );
    const model = await loadModelFiles(memoryFolder("m", old));
    expect(model.vae.file).toBe("m/vae/diffusion_pytorch_model.fp16.safetensors");
    await sameNumbers(model);
  });

  test("of shards", async () => {
    const name = "diffusion_pytorch_model-00001-of-00001.safetensors";
    const weightMap = Object.fromEntries(golden.ours.unet.map(([key]) => [key, name]));
    const { [PLAIN.unet]: unet, ...rest } = files;
    const model = await loadModelFiles(
      memoryFolder("m", {
        ...rest,
        [`unet/${name}`]: unet!,
        "unet/diffusion_pytorch_model.safetensors.index.json": { weight_map: weightMap },
      }),
    );
    await sameNumbers(model);
  });

  test("takes another VAE: a file of LDM's, a component's folder, a whole folder", async () => {
    const ldm = golden.ldm
      .filter(([key]) => key.startsWith("first_stage_model."))
      .map(([key, shape]) => [key.slice("first_stage_model.".length), shape] as const);
    const file = await safetensors("vae.safetensors", ldm);
    const fromFile = await load({}, { vae: file });
    expect(fromFile.vae.file).toBe("vae.safetensors");
    checkWeights(manifest(golden, "vae"), fromFile.vae, "VAE");
    const whole = memoryFolder("v", files);
    expect((await load({}, { vae: whole })).vae.file).toBe(`v/${PLAIN.vae}`);
    const alone = memoryFolder("v", {
      "config.json": golden.configs.vae,
      "diffusion_pytorch_model.safetensors": files[PLAIN.vae]!,
    });
    const { vae } = await load({}, { vae: alone });
    checkWeights(manifest(golden, "vae"), vae, "VAE");
    expect(vae.file).toBe("v/diffusion_pytorch_model.safetensors");
  });

  test("has its prediction type in the scheduler, unless another is asked for", async () => {
    const path = "scheduler/scheduler_config.json";
    const v = { [path]: { _class_name: "DDIMScheduler", prediction_type: "v_prediction" } };
    expect(await load(v)).toMatchObject({
      prediction: "v_prediction",
      predictionSource: `m/${path}`,
    });
    expect(await load(v, { prediction: "eps" })).toMatchObject({
      prediction: "epsilon",
      scheduler: { _class_name: "DDIMScheduler", prediction_type: "epsilon" },
    });
    await expect(load({ [path]: { prediction_type: "flow" } })).rejects.toThrow(
      'm/scheduler/scheduler_config.json: prediction_type is "flow". Supported: epsilon',
    );
  });

  test("may recommend settings", async () => {
    const told = (own: unknown) =>
      load({ "model_index.json": { ...index(), _tintype: own } }).then((m) => m.defaults);
    const settings = { steps: 12, guidanceScale: 2.5, sampler: "euler" };
    expect(await told({ ...settings, trainedOn: "postcards" })).toEqual(settings);
    expect(await told({ steps: 12 })).toEqual({ steps: 12 });
    expect((await load()).defaults).toEqual({});
    const where = "m/model_index.json: _tintype";
    await expect(told(7)).rejects.toThrow(`${where}: expected a JSON object, got 7`);
    await expect(told({ steps: 0 })).rejects.toThrow(`${where}: steps: expected a whole number`);
    await expect(told({ guidanceScale: "x" })).rejects.toThrow(`${where}: guidanceScale: expected`);
    await expect(told({ sampler: 1 })).rejects.toThrow(`${where}: sampler: expected a text`);
  });

  const without = (path: string) => {
    const { [path]: _, ...rest } = files;
    return loadModelFiles(memoryFolder("m", rest));
  };
  const index = () => files["model_index.json"] as object;

  test.each([
    ["model_index.json", /m: no model_index\.json, so it is no diffusers folder/],
    ["unet/config.json", /m: "unet\/config\.json" is missing/],
    ["scheduler/scheduler_config.json", /"scheduler\/scheduler_config\.json" is missing/],
    [
      "tokenizer/merges.txt",
      /expected tokenizer\.json, or vocab\.json and merges\.txt, got vocab\.json/,
    ],
    [
      PLAIN.vae,
      /expected weights at "vae\/diffusion_pytorch_model\.safetensors", got vae\/config\.json/,
    ],
  ])("without %s is refused", async (path, message) => {
    await expect(without(path)).rejects.toThrow(message);
  });

  test("of another pipeline or component is refused by name", async () => {
    const change = (entry: object) => load({ "model_index.json": { ...index(), ...entry } });
    await expect(change({ _class_name: "StableDiffusionXLPipeline" })).rejects.toThrow(
      'm/model_index.json: the pipeline "StableDiffusionXLPipeline" is none that this version runs.',
    );
    await expect(change({ vae: ["diffusers", "AutoencoderTiny"] })).rejects.toThrow(
      "vae is of class AutoencoderTiny, which this version does not run. Supported: AutoencoderKL.",
    );
    await expect(change({ unet: [null, null] })).rejects.toThrow('the component "unet" is missing');
  });

  test("that is empty, one component, a LoRA or none at all says so", async () => {
    const of = (paths: Files) => loadModelFiles(memoryFolder("m", paths));
    await expect(of({})).rejects.toThrow("m: the folder is empty. Name a diffusers folder");
    await expect(of({ "config.json": {} })).rejects.toThrow("It holds one component");
    await expect(of({ "adapter_config.json": {} })).rejects.toThrow("It holds a LoRA");
    await expect(of({ "sd.safetensors": "" })).rejects.toThrow('name it: "sd.safetensors"');
  });

  test("whose networks do not fit each other is refused", async () => {
    const { text, unet } = golden.configs;
    await expect(
      load({ "text_encoder/config.json": { ...text, hidden_size: 48 } }),
    ).rejects.toThrow(
      "m: the UNet attends to a text of width 24, but the text encoder's width is 48.",
    );
    await expect(load({ "unet/config.json": { ...unet, in_channels: 8 } })).rejects.toThrow(
      "m: the UNet takes 8 channels. Supported with this VAE: 4 (text to image) or 9 (inpainting).",
    );
  });

  test("takes no --config", async () => {
    const config = memoryFolder("c", files);
    await expect(load({}, { config })).rejects.toThrow("--config is for single files");
  });

  test("is inspected with what is missing and what is too much", async () => {
    const model = await load();
    const asked = new Map(manifest(golden, "unet")).set("extra.weight", [1]);
    asked.delete("conv_in.bias");
    asked.set("conv_in.weight", [1, 2]);
    const { components, ...rest } = inspectModel(model, { unet: asked });
    expect(rest).toMatchObject({ family: "sd1", sampler: "PNDMScheduler" });
    const parameters = golden.ours.unet.reduce((n, [, s]) => n + s.reduce((a, b) => a * b, 1), 0);
    expect(components.unet).toMatchObject({
      tensors: golden.ours.unet.length,
      parameters,
      bytes: 4 * parameters,
      dtypes: { f32: parameters },
      missing: ["extra.weight"],
      unknown: ["conv_in.bias"],
      wrongShape: ["conv_in.weight"],
    });
    expect(() => checkWeights(asked, model.unet, "UNet")).toThrowErrorMatchingInlineSnapshot(
      `[TintypeError: m/unet/diffusion_pytorch_model.safetensors: the weights do not fit the UNet, which has 326 tensors: 1 missing ("extra.weight"); 1 not expected ("conv_in.bias"); 1 of another shape ("conv_in.weight" expected [1, 2], got [32, 4, 3, 3]). The file is damaged or of another architecture, or the config is not its own.]`,
    );
  });
});

describe("a single file without a config", () => {
  const { ldm } = tiny.sd1!;
  const load = async (rows: Tiny["ldm"], options: LoadOptions = {}) =>
    loadModelFiles(await safetensors("m.safetensors", rows), options);

  test("has no published heads where the width does not allow them", async () => {
    await expect(load(ldm)).rejects.toThrow(
      /text encoder: attention of width 24: expected a multiple of 64.*--config/,
    );
  });

  test("with unknown keys is refused", async () => {
    const config = memoryFolder("c", configFiles(tiny.sd1!));
    await expect(
      load([...ldm, ["model.foo", [1]]], { config }),
    ).rejects.toThrowErrorMatchingInlineSnapshot(
      `[TintypeError: m.safetensors: 1 key is no part of Stable Diffusion 1.x: "model.foo". The file is damaged, or holds something else besides.]`,
    );
  });

  test("without a VAE asks for one", async () => {
    const config = memoryFolder("c", configFiles(tiny.sd1!));
    const rows = ldm.filter(([key]) => !key.startsWith("first_stage_model."));
    await expect(load(rows, { config })).rejects.toThrow(
      "m.safetensors: holds no VAE. Pass one with --vae.",
    );
  });

  test("has no published heads for a UNet of SD 2 either", async () => {
    await expect(load(tiny["sd2-inpaint"]!.ldm)).rejects.toThrow(
      /UNet: attention of width 32: expected a multiple of 64/,
    );
  });
});

describe("single files of the published shapes", () => {
  const published = readPublished();
  const load = (
    family: string,
    options: LoadOptions = {},
    extra: readonly KeyAndShape[] = [],
    metadata: Readonly<Record<string, string>> = {},
  ) => {
    const rows = [...published[family]!.ldm, ...extra];
    return loadModelFiles(sparseSafetensors("m.safetensors", rows, metadata), options);
  };
  const yaml = (text: string) => memorySource("m.yaml", new TextEncoder().encode(text));

  test.each(["sd1", "sd1-inpaint"])("%s predicts noise by convention", async (family) => {
    const model = await load(family);
    expect(model).toMatchObject({ family, prediction: "epsilon", tokenizer: "clip", problems: [] });
    expect(model.unet.config.sampleSize).toBe(64);
    expect(model.scheduler).toMatchObject({
      _class_name: "PNDMScheduler",
      beta_start: 0.00085,
      beta_end: 0.012,
      steps_offset: 1,
      set_alpha_to_one: false,
      skip_prk_steps: true,
      prediction_type: "epsilon",
    });
  });

  test("sd2 has to be probed, and then takes what was published for its kind", async () => {
    const model = await load("sd2");
    expect(model).toMatchObject({ family: "sd2", prediction: "probe", tokenizer: "openclip" });
    const v = withPrediction(model, "v_prediction");
    expect(v.unet.config.sampleSize).toBe(96);
    expect(v.scheduler).toMatchObject({
      _class_name: "PNDMScheduler",
      prediction_type: "v_prediction",
    });
    const eps = withPrediction(model, "epsilon");
    expect(eps.unet.config.sampleSize).toBe(64);
    expect(eps.scheduler).toMatchObject({
      _class_name: "PNDMScheduler",
      prediction_type: "epsilon",
    });
    expect(withPrediction(v, "epsilon")).toBe(v);
  });

  test("say by a .yaml, markers or metadata what they predict", async () => {
    const eps = await load("sd2", { yaml: yaml("model:\n  params:\n    linear_start: 0.00085\n") });
    expect(eps).toMatchObject({
      prediction: "epsilon",
      predictionSource: "the .yaml beside the file",
    });
    const v = await load("sd2", {
      yaml: yaml('    # parameterization: "eps"\n    parameterization: "v"\n'),
    });
    expect(v.prediction).toBe("v_prediction");
    const said = await load("sd2", {}, [], { "modelspec.prediction_type": "v" });
    expect(said).toMatchObject({
      prediction: "v_prediction",
      predictionSource: "the file's metadata",
    });
    const marked = await load("sd1", {}, [
      ["v_pred", [0]],
      ["ztsnr", [0]],
    ]);
    expect(marked.prediction).toBe("v_prediction");
    expect(marked.scheduler).toMatchObject({
      _class_name: "DDIMScheduler",
      rescale_betas_zero_snr: true,
      timestep_spacing: "trailing",
      prediction_type: "v_prediction",
    });
  });

  test("predict what the caller says before anything else", async () => {
    const options = { prediction: "eps", yaml: yaml('parameterization: "v"') } as const;
    const model = await load("sd2", options, [["v_pred", [0]]]);
    expect(model).toMatchObject({ prediction: "epsilon", predictionSource: "--prediction" });
    expect((await load("sd2", { prediction: "v" })).unet.config.sampleSize).toBe(96);
    expect((await load("sd1", { prediction: "v" })).scheduler).toMatchObject({
      _class_name: "PNDMScheduler",
      prediction_type: "v_prediction",
    });
  });
});
