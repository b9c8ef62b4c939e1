import * as v from "valibot";
import { writeWeights } from "../../checkpoints/writeComponent.js";
import { readTensorFile } from "../../formats/index.js";
import type { JudgeConfig } from "../../models/judge/config.js";
import type { Files } from "../../platform/types.js";
import { writeJson } from "../../platform/writeText.js";
import type { Engine } from "../../runtime/engine.js";
import type { Tensor } from "../../tensor/tensor.js";
import { parseConfig, whole } from "../../training/config.js";
import { type Folder, readJson } from "../../util/bytes.js";
import { check } from "../../util/errors.js";
import { type JudgeSize, postcardJudge } from "./config.js";
import { type Judge, loadJudge } from "./read.js";

/*
 * A judge's folder: config.json, which is its `JudgeConfig`, and judge.safetensors.
 */

const CONFIG = "config.json";
const WEIGHTS = "judge.safetensors";

const names = v.array(v.string());
const questions = v.record(v.string(), names);

const schema = v.strictObject({
  sampleSize: whole(1),
  blockOutChannels: v.array(whole(1)),
  layersPerBlock: v.array(whole(0)),
  normNumGroups: whole(1),
  sceneQuestions: questions,
  kinds: names,
  kindQuestions: questions,
});

/** Writes a judge, its weights in fp16. */
export async function writeJudge(
  files: Files,
  folder: string,
  config: JudgeConfig,
  weights: ReadonlyMap<string, Tensor>,
): Promise<void> {
  await files.makeFolder(folder);
  await writeJson(files, `${folder}/${CONFIG}`, config);
  await writeWeights(files, `${folder}/${WEIGHTS}`, weights, "fp16");
}

/**
 * Opens a judge from its folder. Throws "bad-file" for a config that is none, "mismatch" for one
 * that was trained on another world of postcards or whose weights do not fit.
 */
export async function openJudge(folder: Folder, engine: Engine): Promise<Judge> {
  const file = await folder.open(CONFIG);
  const config: JudgeConfig = parseConfig(schema, await readJson(file), file.name);
  requireWorld(config, file.name);
  const { tensors } = await readTensorFile(await folder.open(WEIGHTS));
  return await loadJudge(engine, config, tensors);
}

/** Answers are told by their order, so a judge of another world would be understood wrongly. */
function requireWorld(config: JudgeConfig, name: string): void {
  const size: JudgeSize = config;
  const wanted = postcardJudge(size);
  for (const key of ["sampleSize", "sceneQuestions", "kinds", "kindQuestions"] as const) {
    check(
      JSON.stringify(config[key]) === JSON.stringify(wanted[key]),
      "mismatch",
      `${name}: ${key} is ${JSON.stringify(config[key])}, and the painter's world has ` +
        `${JSON.stringify(wanted[key])}. Train the judge anew: scripts/trainJudge.ts.`,
    );
  }
}
