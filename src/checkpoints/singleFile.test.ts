import { describe, expect, test } from "vitest";
import {
  type Part,
  type Published,
  readPublished,
  tensorsWithoutBytes,
  withoutKeys,
} from "../../test/golden/checkpoints/support.js";
import { CLIP_L_TEXT, OPENCLIP_H_TEXT } from "../models/clip/config.js";
import { SD1_UNET, SD2_UNET } from "../models/unet/config.js";
import { SD_VAE } from "../models/vae/config.js";
import type { StoredTensor } from "../tensor/stored.js";
import { openClipRules, transformersClipRules } from "./clipKeys.js";
import { emaKey } from "./emaKeys.js";
import { type ModelFamily, runnableFamily } from "./families.js";
import { type KeyRule, keyMap } from "./keyMap.js";
import { splitSingleFile } from "./singleFile.js";
import { ldmUNetRules } from "./unetKeys.js";
import { vaeFromFile } from "./vaeFile.js";
import { ldmVaeRules } from "./vaeKeys.js";

const published = readPublished();
const PARTS: readonly Part[] = ["unet", "vae", "text"];
const COUNTS: Readonly<Record<string, Readonly<Record<Part, number>>>> = {
  sd1: { unet: 686, vae: 248, text: 196 },
  "sd1-inpaint": { unet: 686, vae: 248, text: 196 },
  sd2: { unet: 686, vae: 248, text: 372 },
};

function split(tensors: Map<string, StoredTensor>) {
  const family = runnableFamily(tensors, "m.safetensors");
  return { family, ...splitSingleFile(tensors, "m.safetensors", family) };
}

function tensorsOf(family: string): Map<string, StoredTensor> {
  return tensorsWithoutBytes(published[family]!.ldm);
}

/** What diffusers' conversion makes of the file: name -> shape and place of the bytes. */
function expectedViews({ ldm, ours }: Published, part: Part) {
  const places = [...tensorsWithoutBytes(ldm).values()];
  return ours[part].map(([name, shape, k, third]) => {
    const { offset, length } = places[k]!;
    const size = third === null ? length : length / 3;
    return [name, { shape, offset: offset + (third ?? 0) * size, length: size }] as const;
  });
}

const WHERE: Readonly<Record<string, readonly [prefix: string, rules: readonly KeyRule[]]>> = {
  unet: ["model.diffusion_model.", ldmUNetRules(SD1_UNET)],
  vae: ["first_stage_model.", ldmVaeRules({ levels: 4, layersPerBlock: 2 })],
  clip: ["cond_stage_model.transformer.", transformersClipRules("text_model.")],
  openClip: ["cond_stage_model.model.", openClipRules(23)],
};

describe.each(Object.keys(COUNTS))("the published keys of %s", (family) => {
  const { unet, vae, text, keys, ...found } = split(tensorsOf(family));
  const parts = { unet, vae: vae!, text };

  test("show their family", () => expect(found.family).toBe(family));

  test.each(PARTS)("map to diffusers' %s as its own conversion does", (part) => {
    const expected = expectedViews(published[family]!, part);
    const { weights } = parts[part];
    expect(expected.length).toBe(COUNTS[family]![part]);
    expect([...weights.keys()].sort()).toEqual(expected.map(([name]) => name).sort());
    for (const [name, view] of expected) expect(weights.get(name), name).toMatchObject(view);
  });

  test.each(PARTS)("map back from diffusers' %s", (part) => {
    const where = part === "text" ? (family === "sd2" ? "openClip" : "clip") : part;
    const [prefix, rules] = WHERE[where]!;
    const map = keyMap(rules);
    for (const [name, , k, third] of published[family]!.ours[part]) {
      const theirs = map.toTheirs(name)!;
      const [key] = published[family]!.ldm[k]!;
      expect(prefix + theirs.name).toBe(key);
      expect(parts[part].fileKey(name)).toBe(key);
      if (third !== null) expect(theirs.view).toBe(third);
      expect(map.toOurs(theirs.name).map((n) => n.name)).toContain(name);
    }
  });

  test("are all mapped or ignored by a rule", () => {
    expect(keys.unknown).toEqual([]);
    expect(keys.ignored).toMatchSnapshot();
  });
});

test("shapes give the published configs", () => {
  const sd1 = split(tensorsOf("sd1"));
  expect(sd1.unet.config).toEqual(SD1_UNET);
  expect(sd1.vae?.config).toEqual(SD_VAE);
  expect(sd1.text.config).toEqual(CLIP_L_TEXT);
  expect(split(tensorsOf("sd1-inpaint")).unet.config).toEqual({ ...SD1_UNET, inChannels: 9 });
  const sd2 = split(tensorsOf("sd2"));
  expect(sd2.unet.config).toEqual(SD2_UNET);
  expect(sd2.text.config).toEqual(OPENCLIP_H_TEXT);
});

/** As LitEma names its buffers. */
const ema = (key: string) => `model_ema.${key.replace("model.", "").replaceAll(".", "")}`;
const isUNet = (key: string) => key.startsWith("model.diffusion_model.");

describe("averages of the weights (EMA)", () => {
  test.each(["sd1", "sd2"])("are taken where the plain weights of %s are missing", (family) => {
    const plain = tensorsOf(family);
    const only = new Map([...plain].map(([k, t]) => [isUNet(k) ? ema(k) : k, t]));
    only.set("model_ema.decay", plain.values().next().value!);
    const { unet, keys } = split(only);
    expect(unet.config).toEqual(split(plain).unet.config);
    expect(unet.weights).toEqual(split(plain).unet.weights);
    expect(keys.unknown).toEqual([]);
    expect(unet.fileKey("conv_in.weight")).toBe("model_ema.diffusion_modelinput_blocks00weight");
  });

  test("are ignored beside the plain weights", () => {
    const plain = tensorsOf("sd1");
    const both = new Map(
      [...plain].flatMap(
        ([k, t]) =>
          (isUNet(k)
            ? [
                [k, t],
                [ema(k), t],
              ]
            : [[k, t]]) as [string, StoredTensor][],
      ),
    );
    const { unet, keys } = split(both);
    expect(unet.weights).toEqual(split(plain).unet.weights);
    const rule = keys.ignored.find((i) => i.rule.startsWith("averages (EMA)"));
    expect(rule?.keys.length).toBe(686);
  });

  test("have keys without dots", () => {
    expect(emaKey("out.0.weight")).toBe("model_ema.diffusion_modelout0weight");
  });
});

describe("text encoders", () => {
  test("without text_model.", () => {
    const old = new Map(
      [...tensorsOf("sd1")].map(([k, t]) => [
        k.replace("transformer.text_model.", "transformer."),
        t,
      ]),
    );
    const { text } = split(old);
    expect(text.weights).toEqual(split(tensorsOf("sd1")).text.weights);
    expect(text.fileKey("final_layer_norm.bias")).toBe(
      "cond_stage_model.transformer.final_layer_norm.bias",
    );
  });

  test("of SD 2 written back by diffusers: no 24th layer, none is left out", () => {
    const back = withoutKeys(tensorsOf("sd2"), /resblocks\.23\.|text_projection|logit_scale/);
    expect(split(back).text.config.layers).toBe(23);
  });

  test("are required", () => {
    const none = withoutKeys(tensorsOf("sd1"), /^cond_stage/);
    expect(() => split(none)).toThrowErrorMatchingInlineSnapshot(
      `[TintypeError: m.safetensors: holds no text encoder (no key starts with "cond_stage_model.transformer." or "cond_stage_model.model."). Use a whole model: a diffusers folder, or a single file that holds one.]`,
    );
  });
});

test("keys that nobody knows are reported", () => {
  const tensors = tensorsOf("sd1");
  const [tensor] = tensors.values();
  const strange = ["model.diffusion_model.input_blocks.11.3.weight", "first_stage_model.x", "foo"];
  for (const key of strange) tensors.set(key, tensor!);
  expect([...split(tensors).keys.unknown].sort()).toEqual([...strange].sort());
});

test("a gap in a numbered list is no shorter list", () => {
  const gap = withoutKeys(tensorsOf("sd2"), /resblocks\.4\./);
  expect(() => split(gap)).toThrow(
    'm.safetensors: text encoder: "transformer.resblocks.4" is missing.',
  );
});

test("a config of another model is refused", () => {
  const family: ModelFamily = "sd1";
  const unet = { ...SD1_UNET, blockOutChannels: [320, 640, 1280] };
  expect(() =>
    splitSingleFile(tensorsOf(family), "m.safetensors", family, { unet }),
  ).toThrowErrorMatchingInlineSnapshot(
    `[TintypeError: m.safetensors: UNet: the file's blockOutChannels is [320,640,1280,1280], but the --config folder says [320,640,1280]: it describes another model.]`,
  );
});

describe("a VAE file", () => {
  const whole = split(tensorsOf("sd1")).vae!;
  const bare = tensorsWithoutBytes(
    published
      .sd1!.ldm.filter(([key]) => key.startsWith("first_stage_model."))
      .map(([key, shape]) => [key.replace("first_stage_model.", ""), shape] as const),
  );
  const names = [...whole.weights.keys()].sort();
  const shapesOf = (tensors: ReadonlyMap<string, StoredTensor>) =>
    names.map((name) => [name, tensors.get(name)?.shape]);

  test("in LDM's layout, with and without prefix, losses passed over", () => {
    const [any] = bare.values();
    const trained = new Map(bare)
      .set("loss.logvar", any!)
      .set("model_ema.decay", any!)
      .set("model_ema.encoderconv_inweight", any!);
    for (const tensors of [bare, trained, tensorsOf("sd1")]) {
      const vae = vaeFromFile(tensors, "vae.safetensors", undefined);
      expect([...vae.weights.keys()].sort()).toEqual(names);
      expect(shapesOf(vae.weights)).toEqual(shapesOf(whole.weights));
      expect(vae.config).toEqual(SD_VAE);
    }
  });

  test("in diffusers' layout, new and old", () => {
    const old = new Map(
      [...whole.weights].map(([name, tensor]) => [
        name
          .replace(".to_q.", ".query.")
          .replace(".to_k.", ".key.")
          .replace(".to_v.", ".value.")
          .replace(".to_out.0.", ".proj_attn."),
        tensor,
      ]),
    );
    expect(old.has("decoder.mid_block.attentions.0.proj_attn.bias")).toBe(true);
    for (const tensors of [new Map(whole.weights), old]) {
      const vae = vaeFromFile(tensors, "vae.safetensors", undefined);
      expect(vae.weights).toEqual(whole.weights);
    }
  });

  test("with other keys or none is refused", () => {
    const strange = new Map(bare).set("decoder.extra", [...bare.values()][0]!);
    expect(() => vaeFromFile(strange, "vae.safetensors", undefined)).toThrow(
      /1 key is no part of a VAE: "decoder.extra"/,
    );
    const unet = tensorsWithoutBytes([["lora_unet_x.lora_up.weight", [1, 2]]]);
    expect(() => vaeFromFile(unet, "x.safetensors", undefined)).toThrowErrorMatchingInlineSnapshot(
      `[TintypeError: x.safetensors: expected a VAE ("decoder.conv_in.weight" and more), found a LoRA.]`,
    );
  });
});
