import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { evaluate } from "../../graph/evaluate.js";
import { input } from "../../graph/ops.js";
import { picturesToTensor } from "../../image/picture.js";
import { judge as judgeModel } from "../../models/judge/model.js";
import { denseParams } from "../../nn/layers.js";
import { canvasContext } from "../../platform/node/canvas.js";
import { nodePlatform } from "../../platform/node/platform.js";
import { layoutOf } from "../../postcards/layout.js";
import { paintPostcard } from "../../postcards/paint.js";
import { sceneOf } from "../../postcards/scene.js";
import { KINDS } from "../../postcards/world.js";
import type { Engine } from "../../runtime/engine.js";
import { nodeEngine } from "../../runtime/node/engine.js";
import { storedInMemory } from "../../tensor/stored.js";
import { sizeOf, tensor } from "../../tensor/tensor.js";
import { parseConfig } from "../../training/config.js";
import { gradientsOf, learned } from "../../training/learner.js";
import { initialWeights } from "../../training/weights.js";
import { answersTo } from "../questions.js";
import { augmented } from "./augment.js";
import { judgeSchema, postcardJudge } from "./config.js";
import { openJudge, writeJudge } from "./files.js";
import { judgeLoss, targetInputs } from "./loss.js";
import { answersIn, loadJudge } from "./read.js";
import { targetsOf } from "./targets.js";
import { judgeParameters, judgeTrainer } from "./trainer.js";

const SMALL = {
  blockOutChannels: [16, 16, 16, 16],
  layersPerBlock: [0, 0, 0, 1],
  normNumGroups: 4,
};
const MODEL = postcardJudge(SMALL);
const SEEDS = [3, 4, 5, 6];
const SCENES = SEEDS.map(sceneOf);
const PICTURES = SCENES.map((scene) => paintPostcard(scene, canvasContext));

const platform = nodePlatform();
const space = mkdtempSync(join(tmpdir(), "tintype-judge-"));
let engine: Engine;
beforeAll(() => {
  engine = nodeEngine({ platform, device: "cpu", threads: 1, cacheLimit: 0 });
});
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  rmSync(space, { recursive: true });
});

describe("targets", () => {
  const targets = targetsOf(MODEL, SCENES);

  test("are the right answers, as one-hot rows", () => {
    const read = Object.fromEntries(
      Object.entries(targets).map(([name, value]) => [name.replace("target.", ""), value]),
    );
    const answers = answersIn(MODEL, read, SCENES.length);
    for (const [i, scene] of SCENES.entries()) {
      const truth = answersTo(scene);
      expect(answers[i]!.scene).toEqual(truth.scene);
      for (const { kind } of scene.groups) {
        const { colour, ...rest } = truth.kinds[kind];
        expect(answers[i]!.kinds[kind]).toEqual({ ...rest, colour: Math.max(0, colour) });
      }
    }
  });

  test("have one mark on the map for each thing, where it is", () => {
    const { data } = targets["target.where"]!;
    const marks = data.reduce((a, b) => a + b);
    expect(marks).toBe(SCENES.flatMap(layoutOf).length);
    const { kind, x, base, height } = layoutOf(SCENES[0]!)[0]!;
    const [row, column] = [base - height / 2, x].map((at) => Math.floor(at / 16));
    expect(data[(KINDS.indexOf(kind) * 8 + row!) * 8 + column!]).toBe(1);
  });
});

test("the loss is the sum of cross entropies, whose gradient reaches every parameter", () => {
  const config = { ...MODEL, sampleSize: 32 }; // maps of 2x2
  const small = {
    ...config,
    blockOutChannels: [4, 4, 4, 4],
    normNumGroups: 2,
    layersPerBlock: [0, 0, 0, 0],
  };
  const images = input("images", [1, 3, 32, 32]);
  const judgement = judgeModel(denseParams(), small, images);
  const targets = targetInputs(small, 1);
  const { loss, terms } = judgeLoss(judgement, targets);
  const declared = judgeParameters(small);
  const names = [...gradientsOf(loss, declared.keys()).keys()];
  expect(names.toSorted()).toEqual([...declared.keys()].toSorted());

  const weights = initialWeights(declared.values(), 1);
  const wide = ({ shape, data }: { shape: readonly number[]; data: Float32Array }) => ({
    shape,
    data: Float64Array.from(data),
  });
  const picture = Float64Array.from({ length: 3 * 32 * 32 }, (_, i) => Math.sin(i));
  const right = { scene: 1, kind: 3 };
  const inputs = Object.fromEntries(
    [...Object.values(targets.scene), ...Object.values(targets.kinds), targets.where].map((v) => {
      const shape = v.shape as number[];
      const data = new Float64Array(sizeOf(shape));
      const { name } = v.attrs as { name: string };
      if (name.startsWith("target.scene")) data[right.scene] = 1;
      if (name.startsWith("target.kinds")) data[right.kind * shape[2]! + 2] = 1;
      if (name === "target.where") data[5] = 1;
      return [name, { shape, data }];
    }),
  );
  const { time } = judgement.scene;
  const { count } = judgement.kinds;
  const [whole, where, timeTerm, map, timeLogits, countTerm, countLogits] = evaluate(
    [loss, terms.where_loss!, terms.time_loss!, judgement.where, time!, terms.count_loss!, count!],
    {
      inputs: { ...inputs, images: { shape: [1, 3, 32, 32], data: picture } },
      params: (name) => wide(weights.get(name)!),
    },
  );
  const entropy = (logits: ArrayLike<number>, at: number): number =>
    Math.log(Array.from(logits).reduce((n, x) => n + Math.exp(x), 0)) - logits[at]!;
  expect(timeTerm!.data[0]).toBeCloseTo(entropy(timeLogits!.data, right.scene), 10);
  const row = countLogits!.data.subarray(4 * right.kind, 4 * right.kind + 4);
  expect(countTerm!.data[0]).toBeCloseTo(entropy(row, 2), 10);
  const binary = Array.from(map!.data, (x, i) => Math.log(1 + Math.exp(i === 5 ? -x : x)));
  expect(where!.data[0]).toBeCloseTo(0.5 * binary.reduce((a, b) => a + b), 9);
  expect(whole!.data[0]).toBeGreaterThan(
    where!.data[0]! + timeTerm!.data[0]! + countTerm!.data[0]!,
  );
});

test("a judge learns four pictures, and goes on from a checkpoint to the bit", async () => {
  const config = parseConfig(
    judgeSchema,
    { steps: 40, batchSize: 4, model: SMALL, learningRate: { peak: 0.01 } },
    "test",
  );
  const images = picturesToTensor(PICTURES);
  const targets = targetsOf(MODEL, SCENES);
  await using trainer = await judgeTrainer(config, engine.training, MODEL);
  const losses: number[] = [];
  let state: Awaited<ReturnType<typeof trainer.save>> = {};
  for (let step = 0; step < config.steps; step++) {
    if (step === 36) state = await trainer.save();
    losses.push((await trainer.step(step, images, targets)).loss);
  }
  expect(losses.at(-1)!).toBeLessThan(0.25 * losses[0]!);
  await trainer.restore(state);
  for (let step = 36; step < config.steps; step++) {
    expect((await trainer.step(step, images, targets)).loss).toBe(losses[step]);
  }

  const folder = `${space}/trained`;
  const weights = await learned(trainer.store);
  await writeJudge(platform.files, folder, MODEL, weights);
  await using read = await openJudge(await platform.openFolder(folder), engine);
  await using direct = await loadJudge(engine, MODEL, storedInMemory(weights));
  const [kept, known] = [await read.judge(PICTURES), await direct.judge(PICTURES)];
  expect(kept.answers).toEqual(known.answers);
  expect(kept.features.shape).toEqual([4, 16]);
  for (const [i, x] of kept.features.data.entries()) {
    expect(Math.abs(x - known.features.data[i]!)).toBeLessThan(0.02); // weights are fp16
  }
});

describe("reading", () => {
  test("more pictures than go at once, each as if it were alone", async () => {
    const weights = storedInMemory(initialWeights(judgeParameters(MODEL).values(), 2));
    await using judge = await loadJudge(engine, MODEL, weights);
    const many = Array.from({ length: 35 }, (_, i) => PICTURES[i % 4]!);
    const { answers, features } = await judge.judge(many);
    const alone = await judge.judge([PICTURES[2]!]);
    expect(answers).toHaveLength(35);
    expect(answers[34]).toEqual(alone.answers[0]);
    for (const [i, x] of alone.features.data.entries()) {
      expect(features.data[34 * 16 + i]).toBeCloseTo(x, 5);
    }
  });

  test("a judge of another world is refused", async () => {
    const folder = `${space}/other`;
    const weights = initialWeights(judgeParameters(MODEL).values(), 2);
    await writeJudge(platform.files, folder, MODEL, weights);
    const json = JSON.parse(readFileSync(`${folder}/config.json`, "utf8")) as { kinds: string[] };
    json.kinds[0] = "castle";
    writeFileSync(`${folder}/config.json`, JSON.stringify(json));
    await expect(platform.openFolder(folder).then((f) => openJudge(f, engine))).rejects.toThrow(
      /config\.json: kinds is \["castle".*Train the judge anew/,
    );
  });

  test("the likeliest answer wins", () => {
    const logits = {
      "scene.time": tensor([1, 4], Float32Array.of(0, 3, 2, -1)),
      "scene.weather": tensor([1, 3], Float32Array.of(-3, -2, -1)),
      "scene.moon": tensor([1, 3], Float32Array.of(1, 0, 0)),
      "scene.ground": tensor([1, 7], Float32Array.of(0, 0, 0, 0, 0, 1, 0)),
      "kinds.count": tensor([1, 1, 4], Float32Array.of(0, 0, 9, 0)),
      "kinds.colour": tensor([1, 1, 2], Float32Array.of(1, 2)),
      "kinds.side": tensor([1, 1, 3], Float32Array.of(5, 4, 3)),
    };
    expect(answersIn({ kinds: ["house"] }, logits, 1)).toEqual([
      {
        scene: { time: 1, weather: 2, moon: 0, ground: 5 },
        kinds: { house: { count: 2, colour: 1, side: 0 } },
      },
    ]);
  });
});

test("augmented pictures are near the original, differ, and follow from the seed", () => {
  const original = PICTURES[0]!;
  const distances = Array.from({ length: 24 }, (_, seed) => {
    const other = augmented(original, seed);
    expect(Buffer.compare(augmented(original, seed).data, other.data)).toBe(0);
    const total = original.data.reduce((n, x, i) => n + Math.abs(x - other.data[i]!), 0);
    return total / original.data.length;
  });
  expect(Math.max(...distances)).toBeLessThan(20);
  expect(Math.min(...distances)).toBeGreaterThan(0.5);
  expect(new Set(distances).size).toBe(24);
});
