import { expect, test } from "vitest";
import { vaeFactor } from "../models/vae/config.js";
import { sizeOf } from "../tensor/tensor.js";
import { parseConfig } from "./config.js";
import { vaeSchema } from "./modelConfig.js";
import { vaeParameters } from "./weights.js";

/** Factor, channels of latents and parameters of an autoencoder. */
function facts(own: object): readonly number[] {
  const config = parseConfig(vaeSchema, own, "model");
  const parameters = [...vaeParameters(config).values()].map(({ shape }) => sizeOf(shape));
  return [vaeFactor(config), config.latentChannels, parameters.reduce((a, b) => a + b)];
}

test("presets are the published autoencoders", () => {
  expect(facts({})).toEqual([8, 4, 83_653_863]); // Stable Diffusion's
  expect(facts({ preset: "kl-f8" })).toEqual(facts({}));
  const [factor, channels] = facts({ preset: "kl-f4" });
  expect([factor, channels]).toEqual([4, 3]);
});

test("what is said beside a preset goes before it", () => {
  expect(facts({ preset: "kl-f4", latentChannels: 8 }).slice(0, 2)).toEqual([4, 8]);
  expect(facts({ blockOutChannels: [32, 64] })[0]).toBe(2);
});
