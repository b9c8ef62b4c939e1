import { silu } from "../../graph/composites.js";
import type { Dim } from "../../graph/dim.js";
import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import { toTokens } from "../../nn/attention.js";
import { conv2d, groupNorm, linear } from "../../nn/layers.js";
import type { Init, Params } from "../../nn/params.js";
import { resnetBlock } from "../../nn/resnet.js";
import { invariant } from "../../util/errors.js";
import { type JudgeConfig, judgeMapSize, type Questions } from "./config.js";

const EPS = 1e-5;

/** A thing of a kind is at few places: before any training, the logit of it is about minus this. */
const RARITY = 4;

/** Places and kinds are told apart from the start. */
const APART: Init = { kind: "normal", std: 0.5 };

type Shape4 = readonly [batch: Dim, channels: number, height: number, width: number];

/** What a judge says of pictures: logits by question. */
export interface Judgement {
  /** Means of the last level's channels [B,C]: what the Frechet distance compares. */
  readonly features: Value;
  /** Logits [B,K,h,w] of each kind being at a place. */
  readonly where: Value;
  /** Logits [B,answers] of each question about the whole picture. */
  readonly scene: Readonly<Record<string, Value>>;
  /** Logits [B,K,answers] of each question about each kind. */
  readonly kinds: Readonly<Record<string, Value>>;
}

/**
 * Judges pictures [B,3,S,S] in [-1,1]. A small ResNet, after which each kind looks where it is (a
 * sigmoid and not a softmax, so that what it reads grows with the count) and answers from what it
 * reads there.
 */
export function judge(p: Params, config: JudgeConfig, image: Value): Judgement {
  const map = trunk(p, config, image);
  const [batch, channels, h, w] = map.shape as Shape4;
  const area = op.reshape(map, [batch, channels, h * w]);
  const features = op.reshape(op.mul(op.sum(area, [2]), 1 / (h * w)), [batch, channels]);
  const where = op.sub(conv2d(p.at("where"), map, config.kinds.length, 1), RARITY);
  const read = readings(p, map, where);
  return {
    features,
    where,
    scene: answers(p.at("scene"), config.sceneQuestions, features),
    kinds: answers(p.at("kinds"), config.kindQuestions, read),
  };
}

/** image [B,3,S,S] -> [B,C,h,w], normalised and activated. */
function trunk(p: Params, config: JudgeConfig, image: Value): Value {
  const { blockOutChannels, layersPerBlock, normNumGroups: groups } = config;
  let h = image;
  blockOutChannels.forEach((channels, level) => {
    const block = p.at("blocks").at(level);
    const seen = level === 0 ? h : silu(h);
    h = conv2d(block.at("downsampler"), seen, channels, 3, { stride: 2 });
    for (let i = 0; i < layersPerBlock[level]!; i++) {
      h = resnetBlock(block.at("resnets").at(i), h, undefined, channels, { groups, eps: EPS });
    }
  });
  invariant(h.shape[2] === judgeMapSize(config), `judge: a picture of another size than it has`);
  return silu(groupNorm(p.at("norm_out"), h, groups, EPS));
}

/** What each kind reads where it is: [B,K,C]. */
function readings(p: Params, map: Value, where: Value): Value {
  const [batch, kinds, h, w] = where.shape as Shape4;
  const channels = map.shape[1] as number;
  const places = p.get("places.weight", [h * w, channels], APART);
  const tokens = linear(p.at("read"), op.add(toTokens(map), places), channels); // [B,h*w,C]
  const weights = op.reshape(op.sigmoid(where), [batch, kinds, h * w]);
  const read = op.matmul(weights, silu(tokens));
  const names = p.get("names.weight", [kinds, channels], APART);
  return silu(linear(p.at("mix"), op.add(read, names), channels));
}

function answers(p: Params, questions: Questions, x: Value): Readonly<Record<string, Value>> {
  return Object.fromEntries(
    Object.entries(questions).map(([name, { length }]) => [name, linear(p.at(name), x, length)]),
  );
}

/** Everything that is judged, under one name each: "features", "where", "scene.time", "kinds.count"... */
export function judgementOutputs(judgement: Judgement): Readonly<Record<string, Value>> {
  const group = (name: string, values: Readonly<Record<string, Value>>) =>
    Object.entries(values).map(([question, value]) => [`${name}.${question}`, value] as const);
  const { features, where, scene, kinds } = judgement;
  return Object.fromEntries([
    ["features", features],
    ["where", where],
    ...group("scene", scene),
    ...group("kinds", kinds),
  ]);
}
