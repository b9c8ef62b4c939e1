import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import * as v from "valibot";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { localWorker } from "../../../test/localWorker.js";
import { writeTar } from "../../../test/tarWriter.js";
import { framePicture, pictureSize } from "../../platform/node/framing.js";
import { nodePlatform } from "../../platform/node/platform.js";
import { openFile } from "../../platform/node/sources.js";
import type { WorkerHandle } from "../../platform/worker.js";
import { sliceBatch } from "../../tensor/elementwise.js";
import { TintypeError } from "../../util/errors.js";
import type { DataContext } from "./context.js";
import { openData } from "./open.js";
import { servePictures } from "./serve.js";
import { dataSchema } from "./spec.js";
import type { Batch, BatchSource } from "./types.js";

let folder = "";
let reads: string[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tintype-pictures-"));
  reads = [];
});
afterEach(() => rmSync(folder, { recursive: true }));

/** The thread's work, in this one. */
function startWorker(): WorkerHandle {
  const mine = reads;
  return localWorker((port) =>
    servePictures(port, {
      async read({ path, name, offset, length }, most = length) {
        mine.push(name);
        return await (await openFile(path, name)).read(offset, Math.min(length, most));
      },
      measure: pictureSize,
      frame: framePicture,
      paint: () => {
        throw new Error("no painter here");
      },
    }),
  );
}

function open(options: object = {}, context: Partial<DataContext> = {}): Promise<BatchSource> {
  const spec = v.parse(dataSchema, {
    kind: "folder",
    path: folder,
    resolution: 64,
    multipleOf: 16,
    ...options,
  });
  return openData(spec, {
    platform: nodePlatform(),
    startWorker,
    batchSize: 4,
    seed: 1,
    ...context,
  });
}

/** A picture of one gray level, which is how tests know it again. */
function flat(level: number, width = 64, height = 64): Promise<Buffer> {
  const background = { r: level, g: level, b: level };
  return sharp({ create: { width, height, channels: 3, background } })
    .png()
    .toBuffer();
}

async function writeFlat(count: number, size: (i: number) => readonly [number, number]) {
  for (let i = 0; i < count; i++) {
    writeFileSync(join(folder, `${i}.png`), await flat(i * 4, ...size(i)));
    writeFileSync(join(folder, `${i}.txt`), `caption ${i}`);
  }
}

/** What tells batches apart, without comparing every number. */
function digest({ images, ...words }: Batch): string {
  const hash = createHash("sha256").update(images.data);
  return JSON.stringify([hash.digest("hex"), images.shape, words]);
}

/** The level of each picture of a batch, over 4. */
function levels({ images }: Batch): number[] {
  return Array.from({ length: images.shape[0]! }, (_, i) => {
    const { data } = sliceBatch(images, i, 1);
    expect(data.every((x) => x === data[0])).toBe(true);
    return Math.round(((data[0]! + 1) / 2) * 255) / 4;
  });
}

describe("batches of pictures", () => {
  const SIZES = [
    [64, 64],
    [200, 150],
    [90, 160],
  ] as const;
  const sizeOf = (i: number): readonly [number, number] => SIZES[i % 3]!;

  it("has one size a batch, and each picture once an epoch with its own caption", async () => {
    await writeFlat(24, sizeOf);
    await using source = await open();
    expect(source.size).toBe(24);
    expect(source.stepsPerEpoch).toBe(6);
    expect(source.sizes).toEqual([
      [48, 80],
      [64, 64],
      [80, 48],
    ]);
    for (const epoch of [0, 1]) {
      const seen: number[] = [];
      for (let i = 0; i < 6; i++) {
        const batch = await source.batch(epoch * 6 + i);
        const numbers = levels(batch);
        expect(batch.captions).toEqual(numbers.map((n) => `caption ${n}`));
        expect(batch.names).toEqual(numbers.map((n) => `${n}.png`));
        const [, , height, width] = batch.images.shape;
        expect(source.sizes).toContainEqual([width, height]);
        expect(new Set(numbers.map((n) => n % 3)).size).toBe(1);
        seen.push(...numbers);
      }
      expect(seen.sort((a, b) => a - b)).toEqual(Array.from({ length: 24 }, (_, i) => i));
    }
    expect(source.skipped.size).toBe(0);
  });

  it("a source that begins at step n, or jumps, gives what one from the start gives", async () => {
    await writeFlat(12, sizeOf);
    const options = { keep: "random", flip: true };
    await using first = await open(options);
    const all = [];
    for (let step = 0; step < 9; step++) all.push(await first.batch(step));
    await using resumed = await open({ ...options, workers: 3 }, { ahead: 1 });
    for (const step of [5, 6, 7, 2, 8, 8, 0]) {
      expect(digest(await resumed.batch(step))).toBe(digest(all[step]!));
    }
    await using other = await open(options, { seed: 2 });
    expect((await other.batch(0)).names).not.toEqual(all[0]!.names);
  });

  it("reads ahead only so far", async () => {
    await writeFlat(16, () => [64, 64]);
    await using source = await open({ buckets: false }, { ahead: 2 });
    reads.length = 0;
    await source.batch(0);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(reads).toHaveLength(12);
  });

  it("from tar files as from a folder", async () => {
    const files: [string, string | Uint8Array][] = [];
    for (let i = 0; i < 8; i++) {
      files.push([`${i}.png`, await flat(i * 4, ...sizeOf(i))], [`${i}.txt`, `caption ${i}`]);
    }
    writeFileSync(join(folder, "a.tar"), writeTar(files));
    const spec = { kind: "webdataset", shards: folder, resolution: 64, multipleOf: 16 };
    const context = { platform: nodePlatform(), startWorker, batchSize: 2, seed: 0 };
    await using source = await openData(v.parse(dataSchema, spec), context);
    const seen = [];
    for (let step = 0; step < source.stepsPerEpoch!; step++) {
      const batch = await source.batch(step);
      expect(batch.captions).toEqual(levels(batch).map((n) => `caption ${n}`));
      seen.push(...batch.captions);
    }
    expect(new Set(seen).size).toBe(8);
  });
});

describe("broken pictures", () => {
  /** A PNG header that promises 60000x60000 pixels. */
  async function bomb(): Promise<Uint8Array> {
    const bytes = Uint8Array.from(await flat(0));
    const view = new DataView(bytes.buffer);
    view.setUint32(16, 60000);
    view.setUint32(20, 60000);
    const { crc32 } = await import("../../formats/png.js");
    view.setUint32(29, crc32(bytes.subarray(12, 29)));
    return bytes;
  }
  const noise = (): Promise<Buffer> => {
    const raw = { width: 64, height: 64, channels: 3 } as const;
    const data = Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * 7919) % 251);
    return sharp(data, { raw }).jpeg().toBuffer();
  };
  const BROKEN: Readonly<Record<string, () => Promise<Uint8Array>>> = {
    "x-empty.png": async () => new Uint8Array(0),
    "x-text.png": async () => new TextEncoder().encode("not a picture"),
    "x-svg.png": async () => new TextEncoder().encode("<svg xmlns='http://www.w3.org/2000/svg'/>"),
    "x-cut.png": async () => (await flat(0)).subarray(0, 60),
    "x-cut.jpg": async () => {
      const whole = await noise();
      return whole.subarray(0, whole.length / 2);
    },
    "x-bomb.png": bomb,
    "x-narrow.png": () => flat(0, 1, 60_000),
  };
  /** A file of holes, larger than any memory. */
  function writeFilm(): void {
    writeFileSync(join(folder, "x-film.png"), "");
    truncateSync(join(folder, "x-film.png"), 2 ** 40);
  }
  const names = [...Object.keys(BROKEN), "x-film.png"].sort();

  it.each([true, false])("are skipped by name; with buckets: %s", async (buckets) => {
    await writeFlat(8, () => [64, 64]);
    for (const [name, make] of Object.entries(BROKEN)) {
      writeFileSync(join(folder, name), await make());
    }
    writeFilm();
    const options = { buckets, captions: "optional" };
    await using source = await open(options);
    const seen: Batch[] = [];
    const steps = source.stepsPerEpoch!;
    for (let step = 0; step < steps; step++) seen.push(await source.batch(step));
    expect([...source.skipped.keys()].sort()).toEqual(names);
    for (const [name, reason] of source.skipped) expect(reason).toContain(name);
    const shown = seen.flatMap(levels);
    expect(new Set(shown)).toEqual(new Set([0, 1, 2, 3, 4, 5, 6, 7]));
    expect(shown).toHaveLength(steps * 4);
    // The same again for one who knows nothing of the broken ones yet.
    await using resumed = await open(options);
    expect(digest(await resumed.batch(steps - 1))).toBe(digest(seen.at(-1)!));
  });

  it("all of a bucket: others stand in", async () => {
    await writeFlat(4, () => [64, 64]);
    for (let i = 0; i < 4; i++) {
      const whole = await sharp(await flat(9, 160, 90))
        .jpeg()
        .toBuffer();
      writeFileSync(join(folder, `wide${i}.jpg`), whole.subarray(0, whole.length - 30));
    }
    await using source = await open({ captions: "optional" });
    expect(source.sizes).toEqual([
      [64, 64],
      [80, 48],
    ]);
    const batches = [await source.batch(0), await source.batch(1)];
    const wide = batches.find(({ images }) => images.shape[3] === 80)!;
    expect(wide.images.shape).toEqual([4, 3, 48, 80]);
    expect(levels(wide).every((n) => n < 4)).toBe(true);
    expect(source.skipped.size).toBe(4);
  });

  it.each([true, false])(
    "all of them: an error with reasons; with buckets: %s",
    async (buckets) => {
      for (const name of ["a", "b"]) writeFileSync(join(folder, `${name}.png`), "no");
      const failed = async (): Promise<unknown> => {
        await using source = await open({ captions: "optional", buckets });
        return await source.batch(0);
      };
      const error = await failed().catch((e: unknown) => e);
      expect(error).toBeInstanceOf(TintypeError);
      expect(String(error)).toMatch(
        /none of its 2 pictures can be read\. [ab]\.png: cannot be read/,
      );
    },
  );
});

describe("sizes of many pictures", () => {
  it("are kept until a file changes", async () => {
    for (let i = 0; i < 1000; i++) writeFileSync(join(folder, `${i}.png`), "");
    const square = await flat(8);
    for (let i = 0; i < 8; i++) writeFileSync(join(folder, `${i}.png`), square);
    const cache = mkdtempSync(join(tmpdir(), "tintype-sizes-"));
    const platform = { ...nodePlatform(), cacheDir: cache };
    const sizes = async (): Promise<unknown> => {
      reads = [];
      await using source = await open({ captions: "optional" }, { platform });
      return [source.size, source.skipped.size, reads.length];
    };
    try {
      expect(await sizes()).toEqual([8, 992, 1000]);
      expect(await sizes()).toEqual([8, 992, 0]);
      writeFileSync(join(folder, "8.png"), square);
      expect(await sizes()).toEqual([9, 991, 1000]);
      const [kept] = readdirSync(join(cache, "training"));
      for (const name of readdirSync(join(cache, "training"))) {
        writeFileSync(join(cache, "training", name), "damaged");
      }
      expect(kept).toMatch(/^sizes-[0-9a-f]{32}\.json$/);
      expect(await sizes()).toEqual([9, 991, 1000]);
    } finally {
      rmSync(cache, { recursive: true });
    }
  });
});

describe("settings", () => {
  it.each([
    [{ resolution: 100, multipleOf: 64 }, /resolution 100 is no multiple of multipleOf 64/],
    [{ crop: 128 }, /crop 128 is larger than resolution 64/],
  ])("%o", async (options, message) => {
    await writeFlat(1, () => [64, 64]);
    await expect(open(options)).rejects.toThrow(message);
  });

  it("crops are squares of any picture, at random places", async () => {
    const ramp = Uint8Array.from({ length: 128 * 64 * 3 }, (_, i) => Math.floor(i / 3) % 128);
    const raw = { width: 128, height: 64, channels: 3 } as const;
    writeFileSync(join(folder, "a.png"), await sharp(ramp, { raw }).png().toBuffer());
    await using source = await open({ crop: 32, captions: "optional" });
    const { images } = await source.batch(0);
    expect(images.shape).toEqual([4, 3, 32, 32]);
    const starts = [0, 1, 2, 3].map((i) => sliceBatch(images, i, 1).data[0]);
    expect(new Set(starts).size).toBeGreaterThan(2);
    expect(source.examples).toBeUndefined();
  });

  it("mirrors half of the pictures, and only when asked", async () => {
    const ramp = Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (Math.floor(i / 3) % 64) * 4);
    const raw = { width: 64, height: 64, channels: 3 } as const;
    writeFileSync(join(folder, "a.png"), await sharp(ramp, { raw }).png().toBuffer());
    const mirrored = async (flip: boolean): Promise<number> => {
      await using source = await open({ flip, captions: "optional" }, { batchSize: 64, ahead: 0 });
      const { images } = await source.batch(0);
      return Array.from({ length: 64 }, (_, i) => sliceBatch(images, i, 1).data).filter(
        (data) => data[0]! > data[63]!,
      ).length;
    };
    expect(await mirrored(false)).toBe(0);
    const half = await mirrored(true);
    expect(half).toBeGreaterThan(16);
    expect(half).toBeLessThan(48);
  });
});
