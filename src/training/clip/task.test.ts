import { expect, test } from "vitest";
import { cpuEngine } from "../../../test/training/support.js";
import { TINY } from "../../../test/training/tiny.js";
import { nodePlatform } from "../../platform/node/platform.js";
import { parseConfig } from "../config.js";
import { startDataWorker } from "../data/node/start.js";
import { clipTrainingSchema } from "./config.js";
import { openClip } from "./task.js";

test("pictures that are fewer than a batch are told of, since they would contradict themselves", async () => {
  await using engine = cpuEngine();
  const told: string[] = [];
  const notice = (message: string): void => void told.push(message);
  const context = { platform: nodePlatform(), engine, startWorker: startDataWorker, notice };
  for (const count of [2, 3]) {
    const settings = { ...TINY.clip, batchSize: 3, data: { kind: "postcards", count } };
    const config = parseConfig(clipTrainingSchema, settings, "settings");
    await using task = await openClip(config, context);
    expect(task.examplesPerStep).toBe(3);
  }
  expect(told).toHaveLength(1);
  expect(told[0]).toMatch(/^data: 2 pictures are fewer than a batch of 3, .* Lower batchSize/);
});
