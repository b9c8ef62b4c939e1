import { expect, test } from "vitest";
import { CLIP_L_TEXT, OPENCLIP_H_TEXT } from "../models/clip/config.js";
import { SD1_UNET, SD2_UNET } from "../models/unet/config.js";
import { SD_VAE } from "../models/vae/config.js";
import { clipConfigJson, unetConfigJson, vaeConfigJson } from "./configJson.js";
import { parseClipConfig, parseUNetConfig, parseVaeConfig } from "./diffusersConfig.js";

test.each([
  ["SD 1.x", SD1_UNET],
  ["SD 2.x", { ...SD2_UNET, sampleSize: 96 }],
  ["an inpainting model", { ...SD1_UNET, inChannels: 9 }],
])("the UNet config of %s comes back from its JSON", (_, config) => {
  expect(parseUNetConfig(unetConfigJson(config), "unet/config.json")).toEqual({
    config,
    problems: [],
  });
});

test("the VAE config comes back from its JSON", () => {
  const parsed = parseVaeConfig(vaeConfigJson(SD_VAE, 512), "vae/config.json");
  expect(parsed).toEqual({ config: SD_VAE, problems: [] });
});

test.each([
  ["CLIP ViT-L/14", CLIP_L_TEXT],
  ["OpenCLIP ViT-H", OPENCLIP_H_TEXT],
])("the text config of %s comes back from its JSON", (_, config) => {
  const json = clipConfigJson(config, { start: 49406, end: 49407 });
  expect(parseClipConfig(json, "text_encoder/config.json").config).toEqual(config);
});
