import { expect, test } from "vitest";
import {
  configFiles,
  memoryFolder,
  readPublished,
  readTiny,
  sparseSafetensors,
} from "../../test/golden/checkpoints/support.js";
import { mulDims, symbol } from "../graph/dim.js";
import { graphOf, manifest } from "../graph/graph.js";
import { input } from "../graph/ops.js";
import type { Value } from "../graph/value.js";
import { clipTextEncoder, tokenEmbedding, unet, vaeDecoder, vaeEncoder } from "../models/index.js";
import { denseParams } from "../nn/layers.js";
import type { Params } from "../nn/params.js";
import { TintypeError } from "../util/errors.js";
import { checkWeights, type Manifest } from "./checkWeights.js";
import { inspectModel } from "./inspect.js";
import { loadModelFiles } from "./load.js";
import type { ModelFiles } from "./types.js";

const PARTS = ["unet", "vae", "text"] as const;
/** Keys that no model asks for. */
const IGNORED = /text_projection|logit_scale|resblocks\.23\./;
/** One of so many keys is damaged, each alone; without common factor with the kinds of damage. */
const STRIDE = 23;
const [b, h, w] = [symbol("b"), symbol("h"), symbol("w")];

function asked(model: (p: Params) => readonly Value[]): Manifest {
  const outputs = model(denseParams());
  return manifest(graphOf(Object.fromEntries(outputs.map((value, i) => [`${i}`, value]))));
}

/** What the three models ask for with the configs that were found. */
function manifests(model: ModelFiles) {
  const { unet: u, vae: v, text: t } = model;
  const latents = v.config.latentChannels;
  return {
    unet: asked((p) => [
      unet(p, u.config, {
        x: input("x", [b, u.config.inChannels, h, w]),
        t: input("t", [b]),
        context: input("context", [b, symbol("n"), u.config.crossAttentionDim]),
      }),
    ]),
    vae: asked((p) => [
      vaeEncoder(p, v.config, input("image", [b, 3, mulDims(8, h), mulDims(8, w)])),
      vaeDecoder(p, v.config, input("latents", [b, latents, h, w])),
    ]),
    text: asked((p) => [
      clipTextEncoder(
        p,
        t.config,
        tokenEmbedding(p, t.config, input("ids", [b, t.config.maxPositions], "int")),
      ),
    ]),
  };
}

function expectFit(model: ModelFiles): void {
  const wanted = manifests(model);
  for (const part of PARTS) {
    checkWeights(wanted[part], model[part], part);
    expect(inspectModel(model, wanted).components[part]).toMatchObject({
      tensors: wanted[part].size,
      missing: [],
      unknown: [],
      wrongShape: [],
    });
  }
}

test.each(Object.entries(readPublished()))(
  "the models ask for exactly the weights that a published %s file holds",
  async (_, { ldm }) => {
    expectFit(await loadModelFiles(sparseSafetensors("m.safetensors", ldm)));
  },
);

test.each(Object.entries(readTiny()))("and for those of a tiny %s", async (_, golden) => {
  const config = memoryFolder("config", configFiles(golden));
  const model = await loadModelFiles(sparseSafetensors("m.safetensors", golden.ldm), { config });
  expectFit(model);
});

test("a single file that lacks a tensor is refused under the file's own key", async () => {
  const key = "model.diffusion_model.output_blocks.5.2.conv.weight";
  const ldm = readPublished().sd1!.ldm.filter(([k]) => k !== key);
  const model = await loadModelFiles(sparseSafetensors("m.safetensors", ldm));
  expect(() => checkWeights(manifests(model).unet, model.unet, "UNet")).toThrow(
    `m.safetensors: the weights do not fit the UNet, which has 686 tensors: 1 missing ("${key}").`,
  );
});

test("whatever key is missing or misshapen, the error is one that a person can act on", async () => {
  const { ldm } = readPublished().sd2!;
  const damage: readonly ((shape: readonly number[]) => readonly number[] | undefined)[] = [
    () => undefined,
    () => [],
    (shape) => [...shape, 2],
    (shape) => shape.map((d) => d + 1),
    (shape) => shape.map(() => 0),
  ];
  for (let k = 0; k < ldm.length; k += STRIDE) {
    const how = damage[Math.floor(k / STRIDE) % damage.length]!;
    const rows = ldm.flatMap(([key, shape], i) => {
      const changed = i === k ? how(shape) : shape;
      return changed === undefined ? [] : [[key, changed] as const];
    });
    const [key, shape] = ldm[k]!;
    const outcome = await loadModelFiles(sparseSafetensors("m.safetensors", rows))
      .then(
        (model) => {
          const wanted = manifests(model);
          for (const part of PARTS) checkWeights(wanted[part], model[part], part);
          return undefined;
        },
        (error: unknown) => error,
      )
      .catch((error: unknown) => error);
    if (IGNORED.test(key) || (shape.length === 0 && how([]) !== undefined)) continue;
    expect(outcome, `${key} ${k}`).toBeInstanceOf(TintypeError);
    expect(String(outcome)).toContain("m.safetensors");
  }
});
