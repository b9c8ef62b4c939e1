import { expect, test } from "vitest";
import { type Bindings, evaluateDim } from "../graph/dim.js";
import type { Graph } from "../graph/graph.js";
import { SD1_UNET } from "../models/unet/config.js";
import { SD_VAE } from "../models/vae/config.js";
import { decoderGraph, unetGraph } from "../pipelines/graphs.js";
import { type LoweredGraph, lower } from "./lower.js";
import { WEBGPU_BASELINE, webGpuRules } from "./webgpu.js";

const GIB = 2 ** 30;

const lowered = (graph: Graph, bindingBytes = WEBGPU_BASELINE.bindingBytes): LoweredGraph =>
  lower(graph, {
    rules: webGpuRules({ ...WEBGPU_BASELINE, bindingBytes }),
    compute: "f32",
    weight: (location) => ({
      dtype: "f32",
      data: { kind: "external", location, offset: 0, length: 0 },
    }),
  });

const largest = ({ buffers }: LoweredGraph, bindings: Bindings): number =>
  Math.max(...buffers.map((d) => 4 * evaluateDim(d, bindings)));

test("nothing is emitted that WebGPU runs wrongly or not at all", () => {
  const { onnx } = lowered(unetGraph(SD1_UNET));
  const kinds = new Set(onnx.nodes.map((n) => n.opType));
  for (const kind of ["MultiHeadAttention", "GroupNormalization", "Shape", "Sin", "Cos", "Cast"]) {
    expect(kinds).not.toContain(kind);
  }
});

test("512 x 512 pixels with guidance fit every adapter, 1024 x 1024 one that binds 1 GiB", () => {
  const unet = unetGraph(SD1_UNET);
  const prompt = { b: 2, n: 77 };
  expect(largest(lowered(unet), { ...prompt, h: 64, w: 64 })).toBeLessThanOrEqual(2 ** 27);
  expect(largest(lowered(unet, GIB), { ...prompt, h: 128, w: 128 })).toBeLessThanOrEqual(GIB);
});

test("the decoder's wide layers want more than the least that adapters allow", () => {
  const decoder = decoderGraph(SD_VAE);
  expect(largest(lowered(decoder), { b: 1, h: 64, w: 64 })).toBe(2 ** 28);
  expect(largest(lowered(decoder, GIB), { b: 1, h: 128, w: 128 })).toBe(GIB);
});

test("attention is whole where it fits, and cut where it does not", () => {
  const softmaxes = (bindingBytes: number): number =>
    lowered(unetGraph(SD1_UNET), bindingBytes).onnx.nodes.filter((n) => n.opType === "Softmax")
      .length;
  // 16 transformer blocks, with self- and cross-attention each.
  expect(softmaxes(2 ** 35)).toBe(32);
  expect(softmaxes(GIB)).toBeLessThan(200);
  expect(softmaxes(2 ** 27)).toBeGreaterThan(5 * 128);
});
