import { expect, test } from "vitest";
import { symbol } from "../../graph/dim.js";
import { graphOf, manifest } from "../../graph/graph.js";
import { input } from "../../graph/ops.js";
import { denseParams } from "../../nn/layers.js";
import { type JudgeConfig, judgeMapSize } from "./config.js";
import { judge, judgementOutputs } from "./model.js";

const CONFIG: JudgeConfig = {
  sampleSize: 32,
  blockOutChannels: [8, 12],
  layersPerBlock: [0, 1],
  normNumGroups: 4,
  sceneQuestions: { time: ["day", "night"] },
  kinds: ["house", "tree", "car"],
  kindQuestions: { count: ["0", "1", "2"], side: ["left", "right"] },
};

test("says everything about a batch of any size", () => {
  const b = symbol("b");
  const outputs = judgementOutputs(judge(denseParams(), CONFIG, input("image", [b, 3, 32, 32])));
  const shapes = Object.entries(outputs).map(([name, { shape }]) => [name, shape]);
  expect(judgeMapSize(CONFIG)).toBe(8);
  expect(Object.fromEntries(shapes)).toEqual({
    features: [b, 12],
    where: [b, 3, 8, 8],
    "scene.time": [b, 2],
    "kinds.count": [b, 3, 3],
    "kinds.side": [b, 3, 2],
  });
  const keys = [...manifest(graphOf(outputs))].filter(([name]) => !name.includes("resnets"));
  expect(Object.fromEntries(keys)).toEqual({
    "blocks.0.downsampler.weight": [8, 3, 3, 3],
    "blocks.0.downsampler.bias": [8],
    "blocks.1.downsampler.weight": [12, 8, 3, 3],
    "blocks.1.downsampler.bias": [12],
    "norm_out.weight": [12],
    "norm_out.bias": [12],
    "where.weight": [3, 12, 1, 1],
    "where.bias": [3],
    "places.weight": [64, 12],
    "names.weight": [3, 12],
    "read.weight": [12, 12],
    "read.bias": [12],
    "mix.weight": [12, 12],
    "mix.bias": [12],
    "scene.time.weight": [2, 12],
    "scene.time.bias": [2],
    "kinds.count.weight": [3, 12],
    "kinds.count.bias": [3],
    "kinds.side.weight": [2, 12],
    "kinds.side.bias": [2],
  });
});

test("a picture of another size is refused", () => {
  expect(() => judge(denseParams(), CONFIG, input("image", [1, 3, 64, 64]))).toThrow(
    "a picture of another size",
  );
});
