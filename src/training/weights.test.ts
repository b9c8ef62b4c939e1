import { describe, expect, test } from "vitest";
import { CLIP_L_TEXT, type ClipConfig } from "../models/clip/config.js";
import { SD1_UNET, type UNetConfig } from "../models/unet/config.js";
import { SD_VAE } from "../models/vae/config.js";
import {
  below,
  clipParameters,
  type Declared,
  initialWeights,
  textParameters,
  under,
  unetParameters,
  vaeParameters,
  type Weights,
} from "./weights.js";

const UNET: UNetConfig = {
  ...SD1_UNET,
  blockOutChannels: [32, 32, 64, 64],
  heads: [2, 2, 2, 2],
  crossAttentionDim: 64,
  normNumGroups: 16,
};

const start = (declared: Declared, seed = 1): Weights => initialWeights(declared.values(), seed);

function deviation(weights: Weights, name: string): number {
  const { data } = weights.get(name)!;
  const mean = data.reduce((a, b) => a + b, 0) / data.length;
  return Math.sqrt(data.reduce((s, x) => s + (x - mean) ** 2, 0) / data.length);
}

describe("networks start as their originals do", () => {
  test("a UNet adds nothing at first: LDM's zeros end blocks, transformers and the whole", () => {
    const weights = start(unetParameters(UNET));
    const zeros = [...weights].filter(([name, { data }]) => {
      return name.endsWith(".weight") && data.every((x) => x === 0);
    });
    const ends = [...weights.keys()].filter((name) =>
      /(resnets\.\d+\.conv2|attentions\.\d+\.proj_out|^conv_out)\.weight$/.test(name),
    );
    expect(zeros.map(([name]) => name)).toEqual(ends);
    expect(ends.length).toBe(22 + 16 + 1);
  });

  test("layers by PyTorch's default: uniform in 1 / sqrt(fan in)", () => {
    const weights = start(vaeParameters({ ...SD_VAE, blockOutChannels: [32, 64, 64, 64] }));
    const { data } = weights.get("encoder.down_blocks.1.resnets.0.conv2.weight")!;
    const bound = 1 / Math.sqrt(64 * 9);
    expect(Math.max(...data)).toBeLessThan(bound);
    expect(Math.max(...data)).toBeGreaterThan(0.99 * bound);
    expect(Math.abs(data.reduce((a, b) => a + b, 0) / data.length)).toBeLessThan(0.02 * bound);
  });

  test("CLIP's towers with transformers' deviations", () => {
    const tower = { hiddenSize: 64, intermediateSize: 256, layers: 3, heads: 4 };
    const config: ClipConfig = {
      text: { ...CLIP_L_TEXT, ...tower, vocabSize: 1000 },
      vision: {
        ...tower,
        imageSize: 64,
        patchSize: 8,
        activation: "quick_gelu",
        layerNormEps: 1e-5,
      },
      projectionDim: 128,
    };
    const weights = start(clipParameters(config));
    const [width, depth] = [64 ** -0.5, 6 ** -0.5];
    for (const model of ["text_model", "vision_model"]) {
      const layer = `${model}.encoder.layers.1`;
      const expected = {
        "self_attn.q_proj": width * depth,
        "self_attn.k_proj": width * depth,
        "self_attn.v_proj": width * depth,
        "self_attn.out_proj": width,
        "mlp.fc1": (2 * 64) ** -0.5,
        "mlp.fc2": width * depth,
      };
      for (const [name, std] of Object.entries(expected)) {
        const found = deviation(weights, `${layer}.${name}.weight`);
        expect(Math.abs(found / std - 1), `${layer}.${name}`).toBeLessThan(0.05);
        expect(weights.get(`${layer}.${name}.bias`)!.data.every((x) => x === 0)).toBe(true);
      }
    }
    const about = (name: string, std: number): void =>
      expect(Math.abs(deviation(weights, name) / std - 1), name).toBeLessThan(0.1);
    about("text_model.embeddings.token_embedding.weight", 0.02);
    about("vision_model.embeddings.patch_embedding.weight", 0.02);
    about("text_projection.weight", width);
    about("visual_projection.weight", width);
    expect(weights.get("logit_scale")!.data[0]).toBeCloseTo(Math.log(1 / 0.07), 5);
  });
});

test("a parameter follows from the seed and its name, whatever else there is", () => {
  const small = { vocabSize: 10, hiddenSize: 8, intermediateSize: 16, layers: 1, heads: 2 };
  const table = (seed: number, maxPositions: number) =>
    start(textParameters({ ...CLIP_L_TEXT, ...small, maxPositions }), seed).get(
      "embeddings.token_embedding.weight",
    );
  expect(table(1, 77)).toEqual(table(1, 5));
  expect(table(1, 77)).not.toEqual(table(2, 77));
});

test("prefixes are put on and taken off", () => {
  const weights = start(vaeParameters({ ...SD_VAE, blockOutChannels: [32], layersPerBlock: 1 }));
  expect(below(new Map([...under("vae", weights), ...under("vaeX", weights)]), "vae")).toEqual(
    weights,
  );
});
