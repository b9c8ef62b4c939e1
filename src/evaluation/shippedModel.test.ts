import { expect, test } from "vitest";
import { finish, loadModel } from "../node.js";
import { canvasContext } from "../platform/node/canvas.js";
import { nodePlatform } from "../platform/node/platform.js";
import { paintPostcard } from "../postcards/paint.js";
import type { Scene } from "../postcards/world.js";
import { nodeEngine } from "../runtime/node/engine.js";
import { evaluatePrompts } from "./evaluate.js";
import { openJudge } from "./judge/files.js";
import { defaultJudge } from "./node.js";

/*
 * The model that comes with Tintype, by the judge: whatever changes on the way from a prompt to a picture
 * shows here.
 */

const paint = (scene: Scene) => paintPostcard(scene, canvasContext);

test("draws what prompts say that no training saw", { timeout: 120_000 }, async () => {
  const platform = nodePlatform();
  await using engine = nodeEngine({ platform, device: "cpu", threads: 2, cacheLimit: 0 });
  await using judge = await openJudge(await platform.openFolder(defaultJudge()), engine);
  await using model = await loadModel(undefined, { device: "cpu", threads: 2, cacheLimit: 0 });
  const { accuracy } = await finish(evaluatePrompts(model, judge, { prompts: 24, paint }));
  for (const [name, share] of Object.entries({
    time: 0.95,
    ground: 0.95,
    object: 0.95,
    count: 0.9,
  }))
    expect(accuracy[name as keyof typeof accuracy], name).toBeGreaterThan(share);
  expect(accuracy.position).toBeGreaterThan(0.85);
  expect(accuracy.colour).toBeGreaterThan(0.7);
  expect(accuracy.all).toBeGreaterThan(0.6);
});
