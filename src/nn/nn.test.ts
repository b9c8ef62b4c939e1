import { describe, expect, test } from "vitest";
import { symbol } from "../graph/dim.js";
import { type Array64, evaluate } from "../graph/evaluate.js";
import { graphOf, manifest } from "../graph/graph.js";
import * as op from "../graph/ops.js";
import type { Value } from "../graph/value.js";
import {
  conv2d,
  denseParams,
  embeddingTable,
  groupNorm,
  layerNorm,
  linear,
  multiHeadAttention,
  resnetBlock,
  timestepEmbedding,
  toPixels,
  toTokens,
} from "./index.js";

const [b, h, w] = [symbol("b"), symbol("h"), symbol("w")];
const image = op.input("x", [b, 8, h, w]);
const tokens = op.input("x", [b, 7, 8]);
const keysOf = (y: Value) => Object.fromEntries(manifest(graphOf({ y })));

function answer(y: Value, inputs: Record<string, Array64>): Array64 {
  const params = (name: string): never => expect.unreachable(name);
  return evaluate([y], { inputs, params })[0]!;
}
const array = (shape: readonly number[], data: ArrayLike<number>): Array64 => ({
  shape,
  data: Float64Array.from(data),
});

describe("params", () => {
  test("prefixes join with dots, and asking declares in order", () => {
    const p = denseParams();
    const block = p.at("blocks").at(0);
    expect([p.path, block.path]).toEqual(["", "blocks.0"]);
    block.get("weight", [2, 3], { kind: "normal", std: 1 });
    p.get("bias", [2], { kind: "constant", value: 0 });
    expect([...p.declared]).toEqual([
      [
        "blocks.0.weight",
        { name: "blocks.0.weight", shape: [2, 3], init: { kind: "normal", std: 1 } },
      ],
      ["bias", { name: "bias", shape: [2], init: { kind: "constant", value: 0 } }],
    ]);
  });

  test("one name is one value, whichever way it is reached", () => {
    const p = denseParams();
    const init = { kind: "constant", value: 1 } as const;
    expect(p.at("a").get("b", [2], init)).toBe(p.get("a.b", [2], init));
    expect(p.declared.size).toBe(1);
    expect(() => p.at("a").get("b", [3], init)).toThrow(
      "parameter a.b is [2] and was asked for as [3]",
    );
  });
});

describe("layers ask for the keys and shapes of PyTorch", () => {
  test("dense ones", () => {
    const p = denseParams();
    expect(keysOf(linear(p.at("fc"), tokens, 5))).toEqual({ "fc.weight": [5, 8], "fc.bias": [5] });
    expect(keysOf(linear(p.at("q"), tokens, 5, { bias: false }))).toEqual({ "q.weight": [5, 8] });
    expect(keysOf(conv2d(p.at("c"), image, 4, 3))).toEqual({
      "c.weight": [4, 8, 3, 3],
      "c.bias": [4],
    });
    expect(embeddingTable(p.at("e"), 9, 4).shape).toEqual([9, 4]);
    expect(p.declared.get("c.weight")!.init).toEqual({ kind: "uniform", bound: 1 / Math.sqrt(72) });
  });

  test("norms begin as ones and zeros", () => {
    const p = denseParams();
    expect(keysOf(groupNorm(p.at("g"), image, 4, 1e-5))).toEqual({
      "g.weight": [8],
      "g.bias": [8],
    });
    expect(keysOf(layerNorm(p.at("l"), tokens))).toEqual({ "l.weight": [8], "l.bias": [8] });
    expect(p.declared.get("g.weight")!.init).toEqual({ kind: "constant", value: 1 });
    expect(p.declared.get("l.bias")!.init).toEqual({ kind: "constant", value: 0 });
  });

  test("a convolution keeps the size unless told otherwise", () => {
    const p = denseParams();
    expect(conv2d(p.at("a"), image, 4, 3).shape).toEqual([b, 4, h, w]);
    expect(conv2d(p.at("b"), image, 4, 1).shape).toEqual([b, 4, h, w]);
    const known = op.input("x", [1, 8, 6, 7]);
    expect(conv2d(p.at("c"), known, 4, 3, { stride: 2 }).shape).toEqual([1, 4, 3, 4]);
  });

  test("attention, with the names and biases that a model has", () => {
    const context = op.input("c", [b, 5, 6]);
    const plain = multiHeadAttention(denseParams(), tokens, context, { heads: 2 });
    expect(keysOf(plain)).toEqual({
      "to_q.weight": [8, 8],
      "to_k.weight": [8, 6],
      "to_v.weight": [8, 6],
      "to_out.0.weight": [8, 8],
      "to_out.0.bias": [8],
    });
    expect(plain.shape).toEqual([b, 7, 8]);
    const names = ["q_proj", "k_proj", "v_proj", "out_proj"] as const;
    const options = { heads: 2, qkvBias: true, names };
    const clip = multiHeadAttention(denseParams(), tokens, tokens, options);
    expect(Object.keys(keysOf(clip)).sort()).toEqual(
      names.flatMap((n) => [`${n}.bias`, `${n}.weight`]).sort(),
    );
  });

  test("a ResNet block, with a shortcut where the channels change and a shift where there is time", () => {
    const options = { groups: 4, eps: 1e-5 };
    const same = keysOf(resnetBlock(denseParams(), image, undefined, 8, options));
    expect(
      Object.keys(same)
        .filter((k) => k.endsWith("weight"))
        .sort(),
    ).toEqual(["conv1.weight", "conv2.weight", "norm1.weight", "norm2.weight"]);
    const temb = op.input("t", [b, 32]);
    const other = resnetBlock(denseParams(), image, temb, 12, options);
    expect(other.shape).toEqual([b, 12, h, w]);
    expect(keysOf(other)).toMatchObject({
      "conv_shortcut.weight": [12, 8, 1, 1],
      "time_emb_proj.weight": [12, 32],
      "norm2.weight": [12],
      "conv2.weight": [12, 12, 3, 3],
    });
  });
});

test("tokens are pixels, row by row, and go back", () => {
  const x = op.input("x", [b, 2, h, w]);
  const fed = {
    x: array(
      [1, 2, 2, 3],
      Array.from({ length: 12 }, (_, i) => i),
    ),
  };
  expect(answer(toTokens(x), fed)).toEqual(
    array([1, 6, 2], [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11]),
  );
  expect(answer(toPixels(toTokens(x), x), fed)).toEqual(fed.x);
});

describe("the embedding of timesteps is waves of t / 10000^(i / (half - shift))", () => {
  const t = op.input("t", [b]);
  const times = [0, 1, 500, 999];
  const wave = (f: (x: number) => number, half: number, shift: number, time: number) =>
    Array.from({ length: half }, (_, i) => f(time / 10000 ** (i / (half - shift))));

  test.each([
    [8, true, 0],
    [8, false, 0],
    [6, true, 1],
    [7, false, 1],
  ])("width %i, cosines first: %s, shift %i", (width, flipSinToCos, freqShift) => {
    const half = Math.floor(width / 2);
    const y = timestepEmbedding(t, width, { flipSinToCos, freqShift });
    const got = answer(y, { t: array([4], times) });
    const want = times.flatMap((time) => {
      const [sin, cos] = [Math.sin, Math.cos].map((f) => wave(f, half, freqShift, time));
      const odd = width % 2 === 1 ? [0] : [];
      return flipSinToCos ? [...cos!, ...sin!, ...odd] : [...sin!, ...cos!, ...odd];
    });
    expect(got.shape).toEqual([4, width]);
    // Frequencies are float32: at t = 999 they move the angle by up to 6e-5.
    for (const [i, v] of want.entries()) expect(Math.abs(got.data[i]! - v)).toBeLessThan(1e-4);
    expect(Math.abs(got.data[width]! - want[width]!)).toBeLessThan(1e-7);
  });
});
