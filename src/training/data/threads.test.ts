import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { picturesToTensor } from "../../image/picture.js";
import { canvasContext } from "../../platform/node/canvas.js";
import { nodePlatform } from "../../platform/node/platform.js";
import { startNodeWorker } from "../../platform/node/worker.js";
import type { WorkerHandle } from "../../platform/worker.js";
import { captionOf } from "../../postcards/caption.js";
import { EVALUATION_SEEDS } from "../../postcards/evaluation.js";
import { paintPostcard } from "../../postcards/paint.js";
import { trainingScene } from "../../postcards/scene.js";
import { startDataWorker } from "./node/start.js";
import { openData } from "./open.js";
import type { PostcardsSpec } from "./spec.js";
import type { BatchSource } from "./types.js";

function open(spec: Partial<PostcardsSpec>, startWorker = startDataWorker): Promise<BatchSource> {
  const context = { platform: nodePlatform(), startWorker, batchSize: 4, seed: 3 };
  return openData({ kind: "postcards", workers: 1, ...spec }, context);
}

const hash = (data: Float32Array): string =>
  Buffer.from(data.buffer).toString("base64").slice(0, 4000);

describe("postcards, painted in threads", () => {
  it("are the painter's training scenes with their captions", async () => {
    await using source = await open({ firstSeed: 70 });
    expect([source.size, source.stepsPerEpoch]).toEqual([undefined, undefined]);
    const { images, captions, names } = await source.batch(2);
    const seeds = [78, 79, 80, 81];
    expect(names).toEqual(seeds.map((seed) => `postcard ${seed}`));
    expect(captions).toEqual(seeds.map((seed) => captionOf(trainingScene(seed), seed).text));
    const painted = seeds.map((seed) => paintPostcard(trainingScene(seed), canvasContext));
    expect(hash(images.data)).toBe(hash(picturesToTensor(painted).data));
  });

  it("are the same from any step on and with any number of threads", async () => {
    await using one = await open({ crop: 64 });
    const forward = [];
    for (let step = 0; step < 6; step++) forward.push(await one.batch(step));
    await using two = await open({ crop: 64, workers: 2 });
    for (const step of [4, 5, 1]) {
      const { images, names, captions } = await two.batch(step);
      expect(images.shape).toEqual([4, 3, 64, 64]);
      expect({ names, captions }).toEqual({
        names: forward[step]!.names,
        captions: forward[step]!.captions,
      });
      expect(hash(images.data)).toBe(hash(forward[step]!.images.data));
    }
    expect(new Set(forward.flatMap(({ names }) => names)).size).toBe(24);
  });

  it("never are those that are for measuring, wherever training begins", async () => {
    const seedsOf = ({ names }: { readonly names: readonly string[] }) =>
      names.map((name) => Number(name.replace("postcard ", "")));
    for (const seed of [0, 1, 2, 3, 1853]) {
      const context = { platform: nodePlatform(), startWorker: startDataWorker };
      const spec = { kind: "postcards", workers: 1 } as const;
      await using endless = await openData(spec, { ...context, batchSize: 1, seed });
      const [first] = seedsOf(await endless.batch(0));
      expect(first).toBeLessThan(EVALUATION_SEEDS / 2);
      expect(seedsOf(await endless.batch(EVALUATION_SEEDS - first! - 1))).toEqual([
        EVALUATION_SEEDS - 1,
      ]);
      expect(seedsOf(await endless.batch(EVALUATION_SEEDS - first!))).toEqual([0]);
    }
  });

  it("a finite set is shuffled, each once an epoch, and has a fingerprint", async () => {
    await using source = await open({ count: 8 });
    expect([source.size, source.stepsPerEpoch]).toEqual([8, 2]);
    const epochs = [];
    for (const epoch of [0, 1]) {
      const names = [];
      for (const step of [0, 1]) names.push(...(await source.batch(2 * epoch + step)).names);
      epochs.push(names);
    }
    expect(epochs[0]).not.toEqual(epochs[1]);
    const all = Array.from({ length: 8 }, (_, seed) => `postcard ${seed}`);
    for (const names of epochs) expect(names.toSorted()).toEqual(all);
    await using again = await open({ count: 8, workers: 2 });
    await using other = await open({ count: 8, firstSeed: 1 });
    const print = source.examples!.fingerprint;
    expect(print).toMatch(/^[0-9a-f]{64}$/);
    expect(again.examples!.fingerprint).toBe(print);
    expect(other.examples!.fingerprint).not.toBe(print);
  });
});

describe("a folder, read in threads", () => {
  let folder = "";
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "tintype-threads-"));
    const background = { r: 255, g: 0, b: 0 };
    const red = sharp({ create: { width: 300, height: 200, channels: 3, background } });
    writeFileSync(join(folder, "a.jpg"), await red.jpeg().toBuffer());
    writeFileSync(join(folder, "a.txt"), "red");
    writeFileSync(join(folder, "b.jpg"), "broken");
    writeFileSync(join(folder, "b.txt"), "nothing");
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it("gives pictures and names what is broken", async () => {
    const pictures = {
      resolution: 64,
      buckets: true,
      multipleOf: 16,
      maxAspect: 2,
      keep: "center",
      flip: false,
      resample: "cubic",
    } as const;
    const spec = {
      kind: "folder",
      path: folder,
      captions: "required",
      captionColumn: "text",
      workers: 2,
      ...pictures,
    } as const;
    const context = {
      platform: nodePlatform(),
      startWorker: startDataWorker,
      batchSize: 2,
      seed: 0,
    };
    await using source = await openData(spec, context);
    const { images, captions } = await source.batch(0);
    expect(images.shape).toEqual([2, 3, 48, 80]);
    expect(images.data[0]).toBeGreaterThan(0.97);
    expect(captions).toEqual(["red", "red"]);
    expect([...source.skipped.keys()]).toEqual(["b.jpg"]);
  });
});

describe("threads that end", () => {
  it("one that dies gives a clear error, at once and from then on", async () => {
    const dying = (): WorkerHandle =>
      startNodeWorker(new URL("data:text/javascript,setTimeout(()=>process.exit(7),300)"));
    await using source = await open({}, dying);
    await expect(source.batch(0)).rejects.toThrow(
      /a thread that prepares training data died \(the worker ended with code 7\).*fewer workers/,
    );
    await expect(source.batch(5)).rejects.toThrow(/died/);
  });

  it("a closed source answers no more", async () => {
    const source = await open({});
    const waiting = source.batch(3);
    waiting.catch(() => {});
    await source[Symbol.asyncDispose]();
    await expect(waiting).rejects.toThrow("the training data was closed");
    await expect(source.batch(4)).rejects.toThrow("the training data was closed");
  });
});
