import { afterAll, beforeAll, expect, test } from "vitest";
import { canvasContext } from "../platform/node/canvas.js";
import { nodePlatform } from "../platform/node/platform.js";
import { evaluationPrompts } from "../postcards/evaluation.js";
import { paintPostcard } from "../postcards/paint.js";
import type { Scene } from "../postcards/world.js";
import type { Engine } from "../runtime/engine.js";
import { nodeEngine } from "../runtime/node/engine.js";
import { ATTRIBUTES, accuracyOf, checksOf } from "./checks.js";
import { frechetDistance, gaussianOf } from "./frechet.js";
import { freshChecks } from "./fresh.js";
import { openJudge } from "./judge/files.js";
import type { Judge } from "./judge/read.js";

/*
 * The judge in models/postcards-judge against the painter as it is now: a painter that changes its
 * pictures needs a judge that learned them.
 */

const FOLDER = new URL("../../models/postcards-judge", import.meta.url).pathname;
const platform = nodePlatform();
const paint = (scene: Scene) => paintPostcard(scene, canvasContext);
let engine: Engine;
let judge: Judge;
beforeAll(async () => {
  engine = nodeEngine({ platform, device: "cpu", threads: 2, cacheLimit: 0 });
  judge = await openJudge(await platform.openFolder(FOLDER), engine);
});
afterAll(() => engine[Symbol.asyncDispose]());

test("knows what is on fresh pictures", async () => {
  const accuracy = accuracyOf(await freshChecks(judge, paint, 100_000, 200));
  for (const attribute of [...ATTRIBUTES, "all"] as const) {
    expect(accuracy[attribute], attribute).toBeGreaterThan(0.97);
  }
});

test("finds what prompts ask for in the painter's own pictures, and not in others'", async () => {
  const prompts = evaluationPrompts(100);
  const { answers, features } = await judge.judge(prompts.map(({ scene }) => paint(scene)));
  const right = prompts.map(({ expected }, i) => checksOf(expected, answers[i]!));
  const swapped = prompts.map(({ expected }, i) => checksOf(expected, answers[(i + 1) % 100]!));
  expect(accuracyOf(right).all).toBeGreaterThan(0.97);
  expect(accuracyOf(swapped).all).toBeLessThan(0.03);

  const other = await judge.judge(prompts.map(({ scene }) => paint({ ...scene, seed: 7 })));
  const night = prompts.map(({ scene }) => paint({ ...scene, time: "night", moon: "full" }));
  const dark = await judge.judge(night);
  const distance = ({ features: b }: typeof other) =>
    frechetDistance(gaussianOf(features), gaussianOf(b));
  expect(distance(other)).toBeLessThan(0.25 * distance(dark)); // other hills are no other world
});
