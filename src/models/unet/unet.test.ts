import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readTensorFile } from "../../formats/index.js";
import { symbol } from "../../graph/dim.js";
import { evaluate } from "../../graph/evaluate.js";
import { flopsOf } from "../../graph/flops.js";
import { graphOf } from "../../graph/graph.js";
import { input } from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import { denseParams } from "../../nn/layers.js";
import { CPU_RULES } from "../../onnx/cpu.js";
import { lower } from "../../onnx/lower.js";
import { encodeModel } from "../../onnx/model.js";
import { readTensor } from "../../tensor/convert.js";
import { memorySource } from "../../util/bytes.js";
import { textFeatures } from "./attentionHooks.js";
import { finestAttention, placeOf, SD1_UNET, skipCount, type UNetConfig } from "./config.js";
import { mergeTokens } from "./mergeTokens.js";
import { deep, shallowDown, shallowUp, type UNetHooks, unet } from "./model.js";

const TINY: UNetConfig = {
  ...SD1_UNET,
  blocks: ["resnet", "crossAttention", "crossAttention"],
  blockOutChannels: [4, 8, 8],
  layersPerBlock: 1,
  heads: [1, 2, 2],
  transformerLayers: [1, 1, 2],
  crossAttentionDim: 6,
  normNumGroups: 2,
};

const [b, h, w, n] = ["b", "h", "w", "n"].map(symbol);
const inputs = (config: UNetConfig) => ({
  x: input("x", [b!, config.inChannels, h!, w!]),
  t: input("t", [b!]),
  context: input("context", [b!, n!, config.crossAttentionDim]),
});

/** The ONNX model of a prediction. */
function onnxOf(prediction: Value): string {
  const data = { kind: "external", location: "weights", offset: 0, length: 4 } as const;
  const weight = () => ({ dtype: "f32", data }) as const;
  const { onnx } = lower(graphOf({ prediction }), { rules: CPU_RULES, compute: "f32", weight });
  return Buffer.from(encodeModel(onnx)).toString("base64");
}

describe.each([0, 1, 2, 5])("cut at skip connection %i", (branch) => {
  const inParts = (hooks?: (config: UNetConfig) => UNetHooks): Value => {
    const [p, fed] = [denseParams(), inputs(TINY)];
    const made = hooks?.(TINY);
    const shallow = shallowDown(p, TINY, fed, branch, made);
    const { context } = fed;
    const features = deep(p, TINY, { ...shallow, context }, branch, made);
    expect(shallow.skips).toHaveLength(branch + 1);
    expect(shallow.skips.at(-1)!.shape[1]).toBe(placeOf(TINY, branch).channels);
    expect(features.shape.slice(2)).toEqual(shallow.skips.at(-1)!.shape.slice(2));
    return shallowUp(p, TINY, { ...shallow, features, context }, branch, made);
  };

  test("the parts make the whole, node by node", () => {
    expect(onnxOf(inParts())).toBe(onnxOf(unet(denseParams(), TINY, inputs(TINY))));
  });

  test("with residuals added to skips and middle as well", () => {
    const hooks = (config: UNetConfig): UNetHooks => {
      const like = shallowDown(denseParams(), config, inputs(config), skipCount(config) - 1).skips;
      const residual = (v: Value, i: number): Value => input(`residual.${i}`, v.shape);
      return { residuals: { skips: like.map(residual), middle: residual(like.at(-1)!, 99) } };
    };
    const whole = unet(denseParams(), TINY, inputs(TINY), hooks(TINY));
    expect(onnxOf(inParts(hooks))).toBe(onnxOf(whole));
  });
});

describe("texts about the same picture", () => {
  const LATE: UNetConfig = { ...TINY, blocks: ["resnet", "resnet", "crossAttention"] };
  const DEEP: UNetConfig = { ...SD1_UNET, ...TINY, blocks: ["crossAttention", "resnet"] };
  const configs: readonly UNetConfig[] = [
    TINY,
    LATE,
    { ...DEEP, blockOutChannels: [4, 8], transformerLayers: [2, 1] },
  ];
  const PICTURES = [1, 0, 1]; // one of them has two texts
  const numbers = (shape: readonly number[], seed: number) => {
    const count = shape.reduce((n, d) => n * d, 1);
    return { shape, data: Float64Array.from({ length: count }, (_, i) => Math.sin(seed + i * i)) };
  };
  const letters = (name: string): number => [...name].reduce((n, c) => n + c.charCodeAt(0), 0);
  const paramsOf = (y: Value) => {
    const { params } = graphOf({ y });
    return (name: string) => numbers(params.get(name)!.shape as number[], letters(name));
  };
  const byPicture = (config: UNetConfig) => ({
    x: input("x", [symbol("p"), config.inChannels, h!, w!]),
    t: input("t", [symbol("p")]),
    context: input("context", [b!, n!, config.crossAttentionDim]),
    picture: input("picture", [b!], "int"),
  });

  test.each(configs)("answer as if each had a picture of its own: %j", (config) => {
    const [x, t] = [numbers([2, 4, 6, 4], 1), { shape: [2], data: Float64Array.of(7, 400) }];
    const context = numbers([3, 5, config.crossAttentionDim], 2);
    const picture = { shape: [3], data: Float64Array.from(PICTURES) };
    const of = ({ shape, data }: typeof x) => {
      const row = data.length / shape[0]!;
      const rows = PICTURES.flatMap((i) => [...data.subarray(i * row, (i + 1) * row)]);
      return { shape: [3, ...shape.slice(1)], data: Float64Array.from(rows) };
    };
    const shared = unet(denseParams(), config, byPicture(config));
    const apart = unet(denseParams(), config, inputs(config));
    const [got] = evaluate([shared], {
      inputs: { x, t, context, picture },
      params: paramsOf(shared),
    });
    const [want] = evaluate([apart], {
      inputs: { x: of(x), t: of(t), context },
      params: paramsOf(apart),
    });
    expect(got!.shape).toEqual([3, 4, 6, 4]);
    want!.data.forEach((v, i) => {
      expect(Math.abs(got!.data[i]! - v)).toBeLessThan(1e-9 * (1 + Math.abs(v)));
    });
  });

  test("cost less the later a text is looked at", () => {
    const sizes = { b: 2, p: 1, n: 77, h: 16, w: 16 };
    const shares = configs.slice(0, 2).map((config) => {
      const shared = graphOf({ y: unet(denseParams(), config, byPicture(config)) });
      const apart = graphOf({ y: unet(denseParams(), config, inputs(config)) });
      return flopsOf(shared, sizes) / flopsOf(apart, sizes);
    });
    expect(shares[0]).toBeLessThan(0.95);
    expect(shares[1]).toBeLessThan(shares[0]!);
  });

  test("are all that the parts of Stable Diffusion have to know of them", () => {
    const config = SD1_UNET;
    const { temb, skips } = shallowDown(denseParams(), config, byPicture(config), 2);
    expect(temb.shape[0]).toEqual(symbol("p"));
    expect(skips.map(({ shape }) => shape[0])).toEqual([symbol("p"), b, b]);
  });
});

test("the levels of SD 1.x have three skip connections each, the first as wide as the level above", () => {
  expect(skipCount(SD1_UNET)).toBe(12);
  expect([0, 1, 3, 4, 6].map((skip) => placeOf(SD1_UNET, skip))).toEqual([
    { level: 0, place: 0, channels: 320 },
    { level: 0, place: 1, channels: 320 },
    { level: 1, place: 0, channels: 320 },
    { level: 1, place: 1, channels: 640 },
    { level: 2, place: 0, channels: 640 },
  ]);
  expect([SD1_UNET, TINY].map(finestAttention)).toEqual([0, 1]);
  expect(finestAttention({ ...TINY, blocks: ["resnet", "resnet"] })).toBe(1);
});

test("texts have keys and values for every cross-attention layer, and need nothing but them", () => {
  const p = denseParams();
  const found = textFeatures(p, SD1_UNET, input("context", [b!, n!, 768]));
  expect(found.size).toBe(16);
  const middle = found.get("mid_block.attentions.0.transformer_blocks.0.attn2")!;
  expect(middle.k.shape).toEqual([b, n, 1280]);
  const graph = graphOf(
    Object.fromEntries(
      [...found].flatMap(([k, v]) => [
        [`${k}.k`, v.k],
        [`${k}.v`, v.v],
      ]),
    ),
  );
  expect([...graph.inputs.keys()]).toEqual(["context"]);
  expect([...graph.params.keys()].every((name) => /attn2\.to_[kv]\.weight$/.test(name))).toBe(true);
  expect(graph.params.size).toBe(32);
});

describe("tokens are merged", async () => {
  const golden = new URL("../../../test/golden/lesswork/lesswork.safetensors", import.meta.url);
  const source = memorySource("lesswork", new Uint8Array(readFileSync(golden)));
  const { tensors } = await readTensorFile(source);
  const stored = (name: string) => readTensor(tensors.get(name)!);

  const mergedBy = (
    x: { shape: readonly number[]; data: ArrayLike<number> },
    side: number,
    [height, width]: readonly [number, number],
  ) => {
    const [batch, count, channels] = x.shape as [number, number, number];
    expect(count).toBe(height * width);
    const tokens = input("x", [b!, count, channels]);
    const pixels = input("pixels", [b!, 1, height, width]);
    const zeros = { shape: [batch, 1, height, width], data: new Float64Array(batch * count) };
    const fed = { x: { shape: x.shape, data: Float64Array.from(x.data) }, pixels: zeros };
    const y = mergeTokens(tokens, pixels, side);
    return evaluate([y], { inputs: fed, params: () => zeros })[0]!;
  };

  test.each([
    [2, 8, 12],
    [3, 9, 9],
  ])(
    "in cells of %i as tomesd merges them within squares of %i x %i",
    async (side, height, width) => {
      const [x, y] = [
        await stored(`merge.${side}.${height}x${width}.x`),
        await stored(`merge.${side}.${height}x${width}.y`),
      ];
      const made = mergedBy(x, side, [height, width]);
      expect(made.shape).toEqual([2, (height * width) / side ** 2, 6]);
      made.data.forEach((v, i) => {
        expect(Math.abs(v - y.data[i]!)).toBeLessThan(1e-5);
      });
    },
  );

  test("of pictures that squares do not fit into, after a little stretching", () => {
    const x = { shape: [1, 30, 1], data: Array.from({ length: 30 }, (_, i) => i + 1) };
    const made = mergedBy(x, 2, [5, 6]); // as 8 x 8
    expect(made.shape).toEqual([1, 16, 1]);
    // All directions agree, so the first kept token of a square takes what is not kept, and shares go to all.
    expect(Math.min(...made.data)).toBeGreaterThanOrEqual(1);
    expect(Math.max(...made.data)).toBeLessThanOrEqual(30);
  });

  test("and tokens that are all the same stay so", () => {
    const x = { shape: [1, 16, 2], data: Array.from({ length: 32 }, (_, i) => 1 + (i % 2)) };
    const made = mergedBy(x, 2, [4, 4]);
    expect([...made.data]).toEqual([1, 2, 1, 2, 1, 2, 1, 2]);
  });
});
