import * as v from "valibot";
import { expect, test } from "vitest";
import { TintypeError } from "../util/errors.js";
import { autoencoderSchema } from "./autoencoder/config.js";
import { clipTrainingSchema } from "./clip/config.js";
import {
  accumulateSchema,
  batchSizeSchema,
  clipSchema,
  emaSchema,
  learningRateSchema,
  optimizerSchema,
  parseConfig,
  resolveConfig,
  runEntries,
  scheduleOf,
} from "./config.js";

const schema = v.strictObject({
  ...runEntries,
  batchSize: batchSizeSchema(8),
  accumulate: accumulateSchema,
  learningRate: learningRateSchema(1e-4),
  optimizer: optimizerSchema(),
  clip: clipSchema(1),
  ema: emaSchema(null),
});

const parse = (json: unknown): unknown => parseConfig(schema, json, "config.json");

function refusal(json: unknown): string {
  try {
    parse(json);
  } catch (error) {
    expect(error).toBeInstanceOf(TintypeError);
    expect((error as TintypeError).code).toBe("bad-argument");
    return (error as Error).message;
  }
  throw new Error("was accepted");
}

test("defaults are filled in, so that a run's config says everything", () => {
  expect(parse({ steps: 10 })).toEqual({
    steps: 10,
    seed: 0,
    checkpoints: { every: 500, keep: 2 },
    samples: { every: 500, prompts: [], seeds: [0] },
    explode: 100,
    spinning: false,
    batchSize: 8,
    accumulate: 1,
    learningRate: { peak: 1e-4, warmup: 0, schedule: "constant" },
    optimizer: { kind: "adamw", betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 0.01 },
    clip: 1,
    ema: null,
  });
});

test.each([
  { steps: 10 },
  { steps: 10, optimizer: { kind: "lion" }, ema: {}, clip: null },
  { steps: 10, samples: { every: 0 }, learningRate: { warmup: 3 }, threads: 2 },
])("what is written out says all of %o, and says it again", (given) => {
  const once = resolveConfig(schema, given, "config.json");
  expect(once.json).toEqual(once.config);
  expect(resolveConfig(schema, once.json, "config.json")).toEqual(once);
});

test("what is written out are the settings, not what is made of them", () => {
  const size = v.pipe(
    v.strictObject({ preset: v.optional(v.string(), "small") }),
    v.transform(({ preset }) => ({ layers: preset === "small" ? 2 : 8 })),
  );
  const models = v.strictObject({ model: v.optional(size, {}), more: v.array(size) });
  expect(resolveConfig(models, { more: [{}, { preset: "large" }] }, "config.json")).toEqual({
    config: { model: { layers: 2 }, more: [{ layers: 2 }, { layers: 8 }] },
    json: { model: { preset: "small" }, more: [{ preset: "small" }, { preset: "large" }] },
  });
});

test("each optimizer has its own settings", () => {
  const optimizer = (json: unknown): unknown =>
    (parse({ steps: 1, optimizer: json }) as { optimizer: unknown }).optimizer;
  expect(optimizer({ weightDecay: 0 })).toMatchObject({ kind: "adamw", weightDecay: 0 });
  expect(optimizer({ kind: "adam", betas: [0.5, 0.9] })).toMatchObject({ betas: [0.5, 0.9] });
  expect(optimizer({ kind: "sgd", momentum: 0.9 })).toEqual({
    kind: "sgd",
    momentum: 0.9,
    nesterov: false,
    weightDecay: 0,
  });
});

test("an optimizer that says little keeps the rest of its training's own", () => {
  const own = { kind: "adamw", betas: [0.9, 0.98], epsilon: 1e-6, weightDecay: 0.2 } as const;
  const training = v.strictObject({ optimizer: optimizerSchema(own) });
  const optimizer = (json: object): unknown => parseConfig(training, json, "x").optimizer;
  expect(optimizer({})).toEqual(own);
  expect(optimizer({ optimizer: {} })).toEqual(own);
  expect(optimizer({ optimizer: { weightDecay: 0.1 } })).toEqual({ ...own, weightDecay: 0.1 });
  expect(optimizer({ optimizer: { kind: "adamw", epsilon: 1e-8 } })).toEqual({
    ...own,
    epsilon: 1e-8,
  });
  const others = { kind: "adam", betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 0 };
  expect(optimizer({ optimizer: { kind: "adam" } })).toEqual(others);
  expect(optimizer({ optimizer: { kind: "lion" } })).toEqual({
    kind: "lion",
    betas: [0.9, 0.99],
    weightDecay: 0,
  });
  const written = resolveConfig(training, { optimizer: { weightDecay: 0 } }, "x");
  expect(written.json).toEqual({ optimizer: { ...own, weightDecay: 0 } });
});

test("each training's optimizer is its own, whatever else is said of it", () => {
  const data = { kind: "postcards" };
  const clip = { steps: 1, data, model: { tokenizer: "postcards" } };
  const halved = { optimizer: { weightDecay: 0.1 } };
  expect(parseConfig(clipTrainingSchema, { ...clip, ...halved }, "clip").optimizer).toEqual({
    kind: "adamw",
    betas: [0.9, 0.98],
    epsilon: 1e-6,
    weightDecay: 0.1,
  });
  const adversarial = { start: 0, optimizer: { betas: [0.5, 0.99] } };
  const both = parseConfig(autoencoderSchema, { steps: 1, data, adversarial }, "autoencoder");
  expect(both.adversarial!.optimizer).toMatchObject({ kind: "adam", betas: [0.5, 0.99] });
  const early = { start: 0, optimizer: { epsilon: 1e-6 } };
  const other = parseConfig(autoencoderSchema, { steps: 1, data, adversarial: early }, "x");
  expect(other.adversarial!.optimizer).toMatchObject({ betas: [0.5, 0.9], epsilon: 1e-6 });
  expect(both.optimizer).toMatchObject({ kind: "adamw", betas: [0.9, 0.999] });
});

test.each<[string, unknown, string]>([
  [
    "a misspelt key",
    { steps: 1, batchsize: 4 },
    'unknown key "batchsize": did you mean "batchSize"? Keys: steps, seed, checkpoints, samples, explode, threads, spinning, batchSize, accumulate, learningRate, optimizer, clip, ema.',
  ],
  [
    "a misspelt key further in",
    { steps: 1, checkpoints: { evry: 5 } },
    'unknown key "checkpoints.evry": did you mean "checkpoints.every"? Keys of "checkpoints": every, keep.',
  ],
  [
    "a key in the wrong place",
    { steps: 1, warmup: 5 },
    'unknown key "warmup": did you mean "learningRate.warmup"? Keys: steps, seed, checkpoints, samples, explode, threads, spinning, batchSize, accumulate, learningRate, optimizer, clip, ema.',
  ],
  [
    "another optimizer's key",
    { steps: 1, optimizer: { kind: "sgd", momentun: 0.9 } },
    'unknown key "optimizer.momentun": did you mean "optimizer.momentum"? Keys of "optimizer": kind, momentum, nesterov, weightDecay.',
  ],
  [
    "a key that only another optimizer has",
    { steps: 1, optimizer: { kind: "lion", nesterov: true } },
    'unknown key "optimizer.nesterov". Keys of "optimizer": kind, betas, weightDecay.',
  ],
  [
    "a key like no other",
    { steps: 1, checkpoints: { zzzzzzzz: 5 } },
    'unknown key "checkpoints.zzzzzzzz". Keys of "checkpoints": every, keep.',
  ],
  ["a missing key", {}, 'the key "steps" is missing.'],
  ["text for a number", { steps: "ten" }, 'steps: expected a whole number from 1, got "ten".'],
  ["a fraction", { steps: 1.5 }, "steps: expected a whole number from 1, got 1.5."],
  [
    "a number out of range",
    { steps: 1, learningRate: { peak: 0 } },
    "learningRate.peak: expected a number above 0 and up to 1, got 0.",
  ],
  [
    "an unknown word",
    { steps: 1, learningRate: { schedule: "cosin" } },
    'learningRate.schedule: expected "constant", "linear" or "cosine", got "cosin". Did you mean "cosine"?',
  ],
  [
    "an unknown optimizer",
    { steps: 1, optimizer: { kind: "adamv" } },
    'optimizer.kind: expected "adamw", "adam", "sgd" or "lion", got "adamv". Did you mean "adamw"?',
  ],
  [
    "a number for a section",
    { steps: 1, learningRate: 1e-4 },
    "learningRate: expected an object { ... }, got 0.0001.",
  ],
  [
    "a list for a section",
    { steps: 1, learningRate: [1] },
    "learningRate: expected an object { ... }, got [1].",
  ],
  [
    "text in a list",
    { steps: 1, samples: { seeds: [1, "2"] } },
    'samples.seeds[1]: expected a whole number from 0, got "2".',
  ],
  [
    "one number of two",
    { steps: 1, optimizer: { betas: [0.9] } },
    'the key "optimizer.betas[1]" is missing. It is a number from 0 to 1.',
  ],
  ["no object at all", [], "expected an object { ... }, got []."],
  ["a word alone", "steps", 'expected an object { ... }, got "steps".'],
])("%s is refused by name", (_, json, message) => {
  expect(refusal(json)).toBe(`config.json: ${message}`);
});

test("what may be one of several kinds is told of, filled in and suggested for", () => {
  const layers = v.strictObject({
    width: batchSizeSchema(8),
    depth: batchSizeSchema(2),
  });
  const either = v.strictObject({
    text: v.union([v.string(), layers]),
    at: v.union([v.array(layers), layers]),
  });
  const say = (json: unknown): string => {
    try {
      return JSON.stringify(resolveConfig(either, json, "c").json);
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(say({ text: "a", at: {} })).toBe('{"text":"a","at":{"width":8,"depth":2}}');
  expect(say({ text: {}, at: [{ width: 1 }] })).toBe(
    '{"text":{"width":8,"depth":2},"at":[{"width":1,"depth":2}]}',
  );
  expect(say({ text: 7, at: {} })).toBe("c: text: expected text or an object { ... }, got 7.");
  expect(say({ text: { widht: 3 }, at: {} })).toBe(
    'c: unknown key "text.widht": did you mean "text.width"? Keys of "text": width, depth.',
  );
  expect(say({ text: { width: "wide" }, at: {} })).toBe(
    'c: text.width: expected a whole number from 1 to 65536, got "wide".',
  );
});

test("of two kinds of sections the one that fits best counts", () => {
  const vgg = v.strictObject({ weight: batchSizeSchema(1), vgg: v.string(), lin: v.string() });
  const clip = v.strictObject({ weight: batchSizeSchema(1), clip: v.string() });
  const either = v.strictObject({ perceptual: v.union([vgg, clip]) });
  const say = (perceptual: unknown): string => {
    try {
      return JSON.stringify(resolveConfig(either, { perceptual }, "c").json);
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(say({ clip: "a" })).toBe('{"perceptual":{"weight":1,"clip":"a"}}');
  expect(say({ lin: "b", vgg: "a" })).toBe('{"perceptual":{"weight":1,"vgg":"a","lin":"b"}}');
  expect(say({ clip: "a", wieght: 2 })).toBe(
    'c: unknown key "perceptual.wieght": did you mean "perceptual.weight"? ' +
      'Keys of "perceptual": weight, vgg, lin, clip.',
  );
  expect(say({ vgg: "a" })).toBe('c: the key "perceptual.lin" is missing.');
});

test("all mistakes are told at once", () => {
  expect(refusal({ steps: 0, sed: 1, clip: "no" })).toBe(
    [
      "config.json: steps: expected a whole number from 1, got 0.",
      'config.json: clip: expected a number above 0, got "no".',
      'config.json: unknown key "sed": did you mean "seed"? Keys: steps, seed, checkpoints, samples, explode, threads, spinning, batchSize, accumulate, learningRate, optimizer, clip, ema.',
    ].join("\n"),
  );
});

test("a schedule falls until the run's last step", () => {
  const rate = { peak: 1e-3, warmup: 5, schedule: "cosine" } as const;
  expect(scheduleOf(rate, 100)).toEqual({
    kind: "cosine",
    learningRate: 1e-3,
    warmup: 5,
    steps: 100,
  });
  expect(scheduleOf({ ...rate, schedule: "constant" }, 100)).not.toHaveProperty("steps");
});
