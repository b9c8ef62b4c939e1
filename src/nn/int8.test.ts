import { describe, expect, test } from "vitest";
import { graphOf } from "../graph/graph.js";
import * as op from "../graph/ops.js";
import { isOp, topological, type Value } from "../graph/value.js";
import { type Int8Options, int8Params, type RangeObserver } from "./int8.js";
import { conv2d, linear } from "./layers.js";

const x = op.input("x", [1, 6, 4, 4]);
const tokens = op.input("tokens", [2, 5, 6]);

/** Names that a layer asks for, with their shapes. */
function asked(
  layer: (p: ReturnType<typeof int8Params>) => Value,
  options: Partial<Int8Options> = {},
): Record<string, readonly unknown[]> {
  const graph = graphOf({ y: layer(int8Params({ keeps: () => false, ...options })) });
  return Object.fromEntries([...graph.params].map(([name, { shape }]) => [name, shape]));
}

const names = (of: Record<string, unknown>): string[] => Object.keys(of).sort();

const composites = (output: Value): string[] =>
  topological([output])
    .filter((v): v is Value<"composite"> => isOp(v, "composite"))
    .map((v) => v.attrs.name);

describe("a layer in 8 bits asks for", () => {
  test("a linear layer's weight with inputs first", () => {
    expect(asked((p) => linear(p.at("to"), tokens, 9))).toEqual({
      "to.weight_int8": [6, 9],
      "to.weight_scale": [9],
      "to.bias": [9],
    });
    expect(names(asked((p) => linear(p.at("to"), tokens, 9, { bias: false })))).toEqual([
      "to.weight_int8",
      "to.weight_scale",
    ]);
  });

  test("a convolution's weight as it is, and its range", () => {
    expect(asked((p) => conv2d(p.at("conv"), x, 8, 3))).toEqual({
      "conv.weight_int8": [8, 6, 3, 3],
      "conv.weight_scale": [8],
      "conv.bias": [8],
      "conv.output_range": [8],
    });
  });

  test("a convolution of single pixels as a linear layer, without a range", () => {
    expect(asked((p) => conv2d(p.at("conv"), x, 8, 1))).toEqual({
      "conv.weight_int8": [6, 8],
      "conv.weight_scale": [8],
      "conv.bias": [8],
    });
  });

  test("what it always did, where it is kept", () => {
    const keeps = (path: string): boolean => path.startsWith("first");
    const both = (p: ReturnType<typeof int8Params>): Value =>
      conv2d(p.at("rest.conv"), conv2d(p.at("first.conv"), x, 6, 3), 4, 3);
    expect(names(asked(both, { keeps }))).toEqual([
      "first.conv.bias",
      "first.conv.weight",
      "rest.conv.bias",
      "rest.conv.output_range",
      "rest.conv.weight_int8",
      "rest.conv.weight_scale",
    ]);
    expect(names(asked((p) => linear(p.at("first"), tokens, 3), { keeps }))).toEqual([
      "first.bias",
      "first.weight",
    ]);
  });
});

test("layers are recorded by names that a device may take", () => {
  const p = int8Params({ keeps: () => false });
  expect(composites(linear(p.at("to"), tokens, 9))).toEqual(["int8Linear"]);
  expect(composites(conv2d(p.at("conv"), x, 8, 3))).toEqual(["int8Conv2d"]);
  expect(composites(conv2d(p.at("point"), x, 8, 1))).toEqual(["int8Linear"]);
});

test("an observer chooses ranges, and is told what results take of them", () => {
  const seen: { path: string; shape: Value["shape"] }[] = [];
  const observer: RangeObserver = {
    range: (path) =>
      path === "c" ? undefined : op.input(`range of ${path}`, [path === "a" ? 8 : 4]),
    peak: (path, { shape }) => void seen.push({ path, shape }),
  };
  const params = asked(
    (p) => {
      const b = conv2d(p.at("b"), conv2d(p.at("a"), x, 8, 3), 4, 3);
      return conv2d(p.at("point"), conv2d(p.at("c"), b, 2, 3), 4, 1);
    },
    { observer },
  );
  expect(names(params)).toEqual(expect.arrayContaining(["a.weight_int8", "point.weight_int8"]));
  expect(names(params).filter((name) => /range|norm/.test(name))).toEqual(["c.output_range"]);
  expect(seen).toEqual([
    { path: "a", shape: [8] },
    { path: "b", shape: [4] },
    { path: "c", shape: [2] },
  ]);
});
