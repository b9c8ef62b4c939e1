import { symbol } from "../../graph/dim.js";
import { type Graph, graphOf } from "../../graph/graph.js";
import { input } from "../../graph/ops.js";
import { type Picture, picturesToTensor } from "../../image/picture.js";
import type { JudgeConfig } from "../../models/judge/config.js";
import { judge, judgementOutputs } from "../../models/judge/model.js";
import { denseParams } from "../../nn/layers.js";
import type { Kind } from "../../postcards/world.js";
import type { Engine, Program } from "../../runtime/engine.js";
import type { StoredTensors } from "../../tensor/stored.js";
import { type Tensor, tensor } from "../../tensor/tensor.js";
import {
  type Answers,
  KIND_QUESTION_NAMES,
  type KindQuestion,
  SCENE_QUESTION_NAMES,
  type SceneQuestion,
} from "../questions.js";

/** What a judge says of pictures. */
export interface Judged {
  /** One for each picture. Of a kind that is not there, colour and side mean nothing. */
  readonly answers: readonly Answers[];
  /** [pictures, features]: what the Frechet distance compares. */
  readonly features: Tensor;
}

/** A judge that is ready to look at pictures. Holds engine memory until it is disposed. */
export interface Judge extends AsyncDisposable {
  readonly config: JudgeConfig;
  /** Judges pictures of its size. */
  judge(pictures: readonly Picture[]): Promise<Judged>;
}

/** image [b,3,S,S] in [-1,1] -> everything that is judged but the map. */
export function judgeGraph(config: JudgeConfig): Graph {
  const image = input("image", [symbol("b"), 3, config.sampleSize, config.sampleSize]);
  const { where: _, ...outputs } = judgementOutputs(judge(denseParams(), config, image));
  return graphOf(outputs);
}

/** Pictures that go through the network at once. */
const AT_ONCE = 32;

/** Loads a judge's weights into an engine. Throws "mismatch" when they do not fit. */
export async function loadJudge(
  engine: Engine,
  config: JudgeConfig,
  weights: StoredTensors,
): Promise<Judge> {
  const program = await engine.load(judgeGraph(config), weights, { label: "judge" });
  return {
    config,
    async judge(pictures) {
      const answers: Answers[] = [];
      const features: Float32Array[] = [];
      for (let at = 0; at < pictures.length; at += AT_ONCE) {
        const some = pictures.slice(at, at + AT_ONCE);
        const judged = await judgeSome(program, config, some);
        answers.push(...judged.answers);
        features.push(judged.features.data);
      }
      const width = config.blockOutChannels.at(-1)!;
      const data = new Float32Array(pictures.length * width);
      for (const [i, part] of features.entries()) data.set(part, i * AT_ONCE * width);
      return { answers, features: tensor([pictures.length, width], data) };
    },
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  };
}

async function judgeSome(
  program: Program,
  config: JudgeConfig,
  pictures: readonly Picture[],
): Promise<Judged> {
  const out = await program.run({ image: picturesToTensor(pictures) });
  return { answers: answersIn(config, out, pictures.length), features: out.features! };
}

/** The likeliest answers, from logits by output: "scene.time" [B,answers], "kinds.count" [B,K,answers]. */
export function answersIn(
  { kinds }: Pick<JudgeConfig, "kinds">,
  logits: Readonly<Record<string, Tensor>>,
  count: number,
): Answers[] {
  const best = (name: string, row: number): number => largest(logits[name]!, row);
  return Array.from({ length: count }, (_, b) => ({
    scene: Object.fromEntries(
      SCENE_QUESTION_NAMES.map((q) => [q, best(`scene.${q}`, b)]),
    ) as Record<SceneQuestion, number>,
    kinds: Object.fromEntries(
      kinds.map((kind, k) => [
        kind,
        Object.fromEntries(
          KIND_QUESTION_NAMES.map((q) => [q, best(`kinds.${q}`, b * kinds.length + k)]),
        ),
      ]),
    ) as Record<Kind, Record<KindQuestion, number>>,
  }));
}

/** Where the largest number of a row of the last axis is. */
function largest({ shape, data }: Tensor, row: number): number {
  const n = shape.at(-1)!;
  const values = data.subarray(row * n, (row + 1) * n);
  return values.indexOf(values.reduce((a, b) => Math.max(a, b)));
}
