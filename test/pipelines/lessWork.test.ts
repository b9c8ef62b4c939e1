import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadModelFiles, type ModelFiles } from "../../src/checkpoints/index.js";
import { readTensorFile, type TensorFile } from "../../src/formats/index.js";
import { manifest } from "../../src/graph/graph.js";
import { SD1_UNET } from "../../src/models/unet/config.js";
import {
  type DiffusionModel,
  finish,
  nodePlatform,
  type OpenOptions,
  openModel,
  textToImage,
} from "../../src/node.js";
import { rememberingPrompts } from "../../src/pipelines/index.js";
import { type UNetProgram, unetProgramGraph } from "../../src/pipelines/unetPrograms.js";
import type { Engine } from "../../src/runtime/engine.js";
import { nodeEngine } from "../../src/runtime/node/engine.js";
import { readTensor } from "../../src/tensor/convert.js";
import { concatBatch } from "../../src/tensor/elementwise.js";
import { torchCpuNoise } from "../../src/tensor/random.js";
import { full, type Tensor } from "../../src/tensor/tensor.js";
import { relativeError } from "../engine/run.js";

/*
 * Shortcuts of the UNet on the engine: what they leave out, what they must not change, and that they
 * give what the implementations of their papers give.
 */

const GOLDEN = new URL("../golden/", import.meta.url).pathname;
const platform = nodePlatform();
const engine = nodeEngine({ platform, device: "cpu", threads: 1, cacheLimit: 0 });
let files: ModelFiles;
let golden: TensorFile;

beforeAll(async () => {
  files = await loadModelFiles(await platform.openFolder(`${GOLDEN}models/tiny-sd1`), {});
  golden = await readTensorFile(await platform.openFile(`${GOLDEN}lesswork/lesswork.safetensors`));
});
afterAll(() => engine[Symbol.asyncDispose]());

const stored = (name: string): Promise<Tensor> => readTensor(golden.tensors.get(name)!);

/** What an engine was asked: "load X", "run X" and "free X", where X is a program's label. */
function watched(events: string[]): Engine {
  return {
    ...engine,
    async load(graph, weights, options) {
      const label = options.label.replace(/ of .*/, "");
      events.push(`load ${label}`);
      const program = await engine.load(graph, weights, options);
      return {
        async run(inputs) {
          events.push(`run ${label}`);
          return await program.run(inputs);
        },
        async [Symbol.asyncDispose]() {
          events.push(`free ${label}`);
          await program[Symbol.asyncDispose]();
        },
      };
    },
  };
}

const open = (events: string[] = [], more: Partial<OpenOptions> = {}): Promise<DiffusionModel> =>
  openModel(files, { engine: watched(events), ...more });

const noise = torchCpuNoise(1);
const X = noise.randn([2, 4, 8, 11]);
const CONTEXT = noise.randn([2, 77, 24]);
const count = (events: readonly string[], event: string): number =>
  events.filter((e) => e === event).length;

describe("the same bits come from the UNet", () => {
  let whole: Tensor;
  beforeAll(async () => {
    await using model = await open([], { textApart: false });
    whole = await model.predict(X, 481, CONTEXT);
  });

  test("with keys and values of the text worked out apart, once a text", async () => {
    const events: string[] = [];
    await using model = await open(events);
    for (const t of [481, 20, 481]) {
      const y = await model.predict(X, t, CONTEXT);
      if (t === 481) expect(y.data).toEqual(whole.data);
    }
    expect(count(events, "run UNet (text)")).toBe(1);
    await model.predict(X, 481, full(CONTEXT.shape, 1));
    expect(count(events, "run UNet (text)")).toBe(2);
    expect(count(events, "run UNet")).toBe(4);
  });

  test.each([0, 2, 3, 7, 11])("cut in three at branch %i", async (branch) => {
    await using model = await open();
    const deepCache = { every: 2, branch, power: 1 };
    const predict = model.predictor({ deepCache, mergeTokens: 1 });
    expect((await predict(X, 481, CONTEXT)).data).toEqual(whole.data);
    // Features of the same call are the features.
    expect((await predict(X, 481, CONTEXT, { reuse: true })).data).toEqual(whole.data);
    const other = await predict(X, 21, CONTEXT, { reuse: true });
    expect(relativeError(other.data, whole.data)).toBeGreaterThan(1e-3);
  });
});

describe("two texts about one picture", () => {
  const ONE = noise.randn([1, 4, 8, 11]);
  const BOTH = concatBatch([ONE, ONE]);

  test.each([undefined, 0, 1, 5])(
    "are answered as if there were two, cut in three at branch %s",
    async (branch) => {
      await using model = await open();
      const deepCache = branch === undefined ? undefined : { every: 2, branch, power: 1 };
      const predict = model.predictor({ deepCache, mergeTokens: 1 });
      const apart = await predict(BOTH, 481, CONTEXT);
      const shared = await predict(ONE, 481, CONTEXT);
      expect(shared.shape).toEqual(apart.shape);
      expect(relativeError(shared.data, apart.data)).toBeLessThan(1e-6);
    },
  );

  test("also over merged tokens", async () => {
    await using model = await open();
    const predict = model.predictor({ deepCache: undefined, mergeTokens: 2 });
    const apart = await predict(BOTH, 481, CONTEXT);
    const shared = await predict(ONE, 481, CONTEXT);
    expect(relativeError(shared.data, apart.data)).toBeLessThan(1e-6);
  });
});

describe("deep features", () => {
  const deepCache = { every: 3, branch: 0, power: 1 };

  test("are worked out again for another text, another size and another run", async () => {
    const events: string[] = [];
    await using model = await open(events);
    const predict = model.predictor({ deepCache, mergeTokens: 1 });
    const deeps = async (x: Tensor, context: Tensor, by = predict): Promise<number> => {
      const before = count(events, "run UNet (deep)");
      await by(x, 481, context, { reuse: true });
      return count(events, "run UNet (deep)") - before;
    };
    const one = noise.randn([1, 4, 8, 8]);
    const half = noise.randn([1, 77, 24]);
    expect(await deeps(X, CONTEXT)).toBe(1);
    expect(await deeps(X, CONTEXT)).toBe(0);
    expect(await deeps(one, half)).toBe(1);
    expect(await deeps(X, CONTEXT)).toBe(1);
    const smaller = noise.randn([2, 4, 8, 8]);
    expect(await deeps(smaller, CONTEXT)).toBe(1);
    const another = model.predictor({ deepCache, mergeTokens: 1 });
    expect(await deeps(smaller, CONTEXT, another)).toBe(1);
  });

  test("belong to weights that no other program has", () => {
    for (const branch of [0, 2, 5]) {
      const form = { branch, mergeTokens: 1, textApart: true };
      const names = (program: UNetProgram, of = form): string[] => [
        ...manifest(unetProgramGraph(program, SD1_UNET, of)).keys(),
      ];
      const apart = (["text", "down", "deep", "up"] as const).flatMap((program) => names(program));
      expect(new Set(apart).size).toBe(apart.length);
      const whole = names("unet", { mergeTokens: 1, textApart: false, branch: 0 });
      expect(apart.sort()).toEqual(whole.sort());
    }
  });

  test("are worked out at one of so many steps, with guidance in some of them", async () => {
    const events: string[] = [];
    await using model = await open(events);
    const deepCache = { every: 4, power: 1 };
    const request = { prompt: "a cat", seed: 1, steps: 8, sampler: "euler", deepCache } as const;
    await finish(textToImage(model, request));
    expect(count(events, "run UNet (deep)")).toBe(2);
    expect(count(events, "run UNet (up)")).toBe(8);
    // Its end at step 2 takes other features: those of one prompt.
    await finish(textToImage(model, { ...request, guidanceSteps: { from: 0, to: 2 } }));
    expect(count(events, "run UNet (deep)")).toBe(2 + 3);
  });
});

describe("DeepCache's own implementation gives these latents", () => {
  test.each([
    [1, 0],
    [2, 0],
    [3, 0],
    [3, 1],
    [3, 2],
    [4, 4],
    [5, 7],
  ])("over %i steps at branch %i", async (every, branch) => {
    const { prompt, negative_prompt, steps, guidance_scale, seed } = JSON.parse(
      golden.metadata!.request!,
    );
    await using model = await open();
    const { latents } = await finish(
      textToImage(model, {
        ...{ prompt, negativePrompt: negative_prompt, steps, guidanceScale: guidance_scale, seed },
        ...{ sampler: "ddim", width: 64, height: 64, deepCache: { every, branch, power: 1 } },
      }),
    );
    const reference = await stored(`deep.${every}.${branch}`);
    expect(relativeError(latents.data, reference.data)).toBeLessThan(1e-3);
  });
});

test.each([2, 4])("tokens merged in cells of %i give what tomesd's merging gives", async (side) => {
  const [x, context, y] = await Promise.all(
    ["x", "context", "y"].map((name) => stored(`unet.${side}.${name}`)),
  );
  for (const textApart of [false, true]) {
    await using model = await open([], { textApart });
    const predict = model.predictor({ mergeTokens: side });
    const made = await predict(x!, Number(golden.metadata!.t), context!);
    expect(relativeError(made.data, y!.data)).toBeLessThan(1e-4);
  }
});

describe("parts are freed", () => {
  const REQUEST = { prompt: "a cat", seed: 1, steps: 2, sampler: "euler" } as const;

  test("after their last use: the text encoder before the first step", async () => {
    const events: string[] = [];
    await using model = await open(events);
    await finish(textToImage(model, { ...REQUEST, freeParts: true }));
    const at = (event: string): number => events.indexOf(event);
    expect(at("free text encoder")).toBeGreaterThan(at("run text encoder"));
    expect(at("free text encoder")).toBeLessThan(at("run UNet (text)"));
    expect(at("run UNet (text)")).toBeLessThan(at("run UNet"));
    expect(at("free UNet")).toBeLessThan(at("load VAE decoder"));
    expect(count(events, "free VAE decoder")).toBe(1);
  });

  test("where the request lists them", async () => {
    const events: string[] = [];
    await using model = rememberingPrompts(await open(events));
    for (const seed of [1, 2])
      await finish(textToImage(model, { ...REQUEST, seed, freeParts: ["text"] }));
    expect(events.filter((e) => e.startsWith("free"))).toEqual(["free text encoder"]);
    expect(count(events, "load text encoder")).toBe(1); // the prompt is remembered
    expect(count(events, "load UNet")).toBe(1);
  });

  test("before others are loaded, where memory is short", async () => {
    const events: string[] = [];
    await using model = await open(events, { lowMemory: true });
    await finish(textToImage(model, { ...REQUEST, deepCache: 2 }));
    const order = events.filter((e) => !e.startsWith("run"));
    const unet = ["text", "down", "deep", "up"].map((name) => `UNet (${name})`);
    expect(order).toEqual([
      "load text encoder",
      "free text encoder",
      ...unet.map((name) => `load ${name}`),
      ...unet.map((name) => `free ${name}`),
      "load VAE decoder",
    ]);
  });

  test("where another form of them is wanted", async () => {
    const events: string[] = [];
    await using model = await open(events, { textApart: false });
    const [plain, merged] = [model.predict, model.predictor({ mergeTokens: 2 })];
    await Promise.all([plain(X, 1, CONTEXT), merged(X, 1, CONTEXT), plain(X, 1, CONTEXT)]);
    const one = ["load UNet", "run UNet", "free UNet"];
    expect(events).toEqual([...one, ...one, "load UNet", "run UNet"]);
  });
});

test("prompts are remembered with what was cut off their ends", async () => {
  const events: string[] = [];
  await using model = rememberingPrompts(await open(events));
  const long = "word ".repeat(100);
  const first = await model.encodePrompts(["a cat", long]);
  const again = await model.encodePrompts([long, "a dog", "a cat", long]);
  expect(count(events, "run text encoder")).toBe(2);
  const row = ({ hidden }: typeof first, k: number) =>
    hidden.data.subarray(k * 77 * 24, (k + 1) * 77 * 24);
  expect(row(again, 2)).toEqual(row(first, 0));
  expect(row(again, 3)).toEqual(row(first, 1));
  expect(again.truncated).toEqual([first.truncated[1], undefined, undefined, first.truncated[1]]);
  expect(first.truncated[1]).toMatch(/word/);
});
