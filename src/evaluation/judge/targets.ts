import { type JudgeConfig, judgeMapSize, type Questions } from "../../models/judge/config.js";
import { layoutOf, POSTCARD_SIZE } from "../../postcards/layout.js";
import type { Kind, Scene } from "../../postcards/world.js";
import { type Tensor, zeros } from "../../tensor/tensor.js";
import { type Answers, answersTo, type KindQuestion, type SceneQuestion } from "../questions.js";

/** What is right about scenes, as a training graph of the judge is fed: see `Targets`. */
export function targetsOf(
  config: JudgeConfig,
  scenes: readonly Scene[],
): Readonly<Record<string, Tensor>> {
  const answers = scenes.map(answersTo);
  const rows = (group: string, questions: Questions, of: (a: Answers, q: string) => number[]) =>
    Object.entries(questions).map(([name, { length }]): [string, Tensor] => {
      const right = answers.flatMap((a) => of(a, name));
      const shape = group === "scene" ? [scenes.length] : [scenes.length, config.kinds.length];
      return [`target.${group}.${name}`, oneHot(shape, right, length)];
    });
  return Object.fromEntries([
    ["target.where", middles(config, scenes)],
    ...rows("scene", config.sceneQuestions, (a, q) => [a.scene[q as SceneQuestion]]),
    ...rows("kinds", config.kindQuestions, (a, q) =>
      config.kinds.map((kind) => a.kinds[kind as Kind][q as KindQuestion]),
    ),
  ]);
}

/** Rows with a 1 at `right`, [...shape,length]; zeros where it is negative. */
function oneHot(shape: readonly number[], right: readonly number[], length: number): Tensor {
  const out = zeros([...shape, length]);
  for (const [row, answer] of right.entries()) if (answer >= 0) out.data[row * length + answer] = 1;
  return out;
}

/** 1 where the middle of a thing of each kind is, [B,K,h,w]. */
function middles(config: JudgeConfig, scenes: readonly Scene[]): Tensor {
  const size = judgeMapSize(config);
  const cell = (at: number): number =>
    Math.min(size - 1, Math.max(0, Math.floor((at / POSTCARD_SIZE) * size)));
  const out = zeros([scenes.length, config.kinds.length, size, size]);
  for (const [b, scene] of scenes.entries()) {
    for (const { kind, x, base, height } of layoutOf(scene)) {
      const plane = b * config.kinds.length + config.kinds.indexOf(kind);
      out.data[(plane * size + cell(base - height / 2)) * size + cell(x)] = 1;
    }
  }
  return out;
}
