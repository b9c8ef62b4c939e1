import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readSafetensors } from "../../formats/safetensors.js";
import { nodePlatform } from "../../platform/node/platform.js";
import { openFile } from "../../platform/node/sources.js";
import { type Tensor, tensor } from "../../tensor/tensor.js";
import type { CacheOptions } from "./cacheFiles.js";
import { cacheEmbeddings } from "./embeddings.js";
import { cacheLatents } from "./latents.js";
import { shuffledOrder } from "./order.js";
import type { Batch, BatchSource, Bucket } from "./types.js";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tintype-cache-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const options = (more: Partial<CacheOptions> = {}): CacheOptions => ({
  platform: nodePlatform(),
  folder,
  key: "encoder 1",
  batchSize: 4,
  fileSize: 8,
  ...more,
});

/** Two buckets: examples 0-20 are 2x2, 21-25 are 4x1; each pixel is the number. 3 and 22 are broken. */
function numbered(): BatchSource {
  const skipped = new Map<string, string>();
  const range = (from: number, to: number): Uint32Array =>
    Uint32Array.from({ length: to - from }, (_, i) => from + i);
  const buckets: Bucket[] = [
    { width: 2, height: 2, members: range(0, 21) },
    { width: 4, height: 1, members: range(21, 26) },
  ];
  return {
    size: 26,
    sizes: [],
    stepsPerEpoch: undefined,
    skipped,
    batch: () => Promise.reject(new Error("not asked for")),
    examples: {
      fingerprint: "abc",
      buckets,
      async read({ width, height }, asked) {
        const numbers = asked.filter((n) => n !== 3 && n !== 22);
        for (const n of asked) if (!numbers.includes(n)) skipped.set(`p${n}`, "broken");
        const data = Float32Array.from(
          { length: numbers.length * 12 },
          (_, i) => numbers[Math.floor(i / 12)]!,
        );
        return {
          images: tensor([numbers.length, 3, height, width], data),
          captions: numbers.map((n) => `caption ${n}`),
          names: numbers.map((n) => `p${n}`),
          numbers,
        };
      },
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** Channel 0 plus a half, twice. Fails at call `failAt`. */
function encoder(failAt = Number.POSITIVE_INFINITY): {
  calls: () => number;
  encode(batch: Batch): Promise<Tensor>;
} {
  let calls = 0;
  return {
    calls: () => calls,
    async encode({ images: { shape, data } }) {
      if (++calls === failAt) throw new Error("power cut");
      const [b, , h, w] = shape as [number, number, number, number];
      expect(b).toBe(4);
      const out = Float32Array.from(
        { length: b * 2 * h * w },
        (_, i) => data[Math.floor(i / (2 * h * w)) * 12]! + 0.5,
      );
      return tensor([b, 2, h, w], out);
    },
  };
}

const files = (): string[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".safetensors"),
  );

describe("cacheLatents", () => {
  it("keeps what the encoder gave, with captions, and what was broken", async () => {
    const { encode, calls } = encoder();
    const done: number[] = [];
    const cache = await cacheLatents(
      numbered(),
      encode,
      options({ onProgress: (n, total) => done.push(n / total) }),
    );
    expect(cache.size).toBe(24);
    expect([...cache.skipped.keys()]).toEqual(["p3", "p22"]);
    expect(calls()).toBe(6 + 2);
    expect(done.at(-1)).toBe(1);
    expect(done).toEqual(done.toSorted((a, b) => a - b));
    const batches = cache.batches({ batchSize: 4, seed: 9 });
    expect(batches.stepsPerEpoch).toBe(6);
    const seen: string[] = [];
    for (let step = 0; step < 6; step++) {
      const { latents, captions, names } = await batches.batch(step);
      const wide = names.some((name) => Number(name.slice(1)) > 20);
      expect(latents.shape).toEqual(wide ? [4, 2, 1, 4] : [4, 2, 2, 2]);
      for (const [i, name] of names.entries()) {
        expect(captions[i]).toBe(`caption ${name.slice(1)}`);
        const row = latents.data.subarray(i * 8, (i + 1) * 8);
        expect([...row]).toEqual(Array(8).fill(Number(name.slice(1)) + 0.5));
      }
      seen.push(...names);
    }
    expect(new Set(seen).size).toBe(24);
    const order = shuffledOrder([20, 4], 4, 9);
    const jumped = await cache.batches({ batchSize: 4, seed: 9, ahead: 1 }).batch(5);
    expect(jumped.names).toEqual(seen.slice(20));
    expect(order.stepsPerEpoch).toBe(6);
  });

  it("tell also of what their source could not read when it was opened", async () => {
    const source = numbered();
    (source.skipped as Map<string, string>).set("p99", "no picture");
    const { encode } = encoder();
    for (const _ of ["made", "read again"]) {
      const cache = await cacheLatents(source, encode, options());
      expect([...cache.skipped.keys()]).toEqual(["p99", "p3", "p22"]);
    }
  });

  it("after an interruption goes on where it stopped, and ends the same", async () => {
    await expect(cacheLatents(numbered(), encoder(4).encode, options())).rejects.toThrow(
      "power cut",
    );
    expect(files()).toHaveLength(1);
    const [own] = readdirSync(folder);
    writeFileSync(
      join(folder, own!, ".2x2-00001.safetensors.1-ab.tmp"),
      "half a file of one killed",
    );
    const rest = encoder();
    const resumed = await cacheLatents(numbered(), rest.encode, options());
    expect(rest.calls()).toBe(8 - 2);
    const bytes = (): string[] =>
      files()
        .sort()
        .map((name) => readFileSync(join(folder, name), "base64"));
    const whole = bytes();
    rmSync(resumed.folder, { recursive: true });
    await cacheLatents(numbered(), encoder().encode, options());
    expect(bytes()).toEqual(whole);
    expect(files()).toHaveLength(4);
    expect(readdirSync(join(folder, own!)).filter((name) => name.startsWith("."))).toEqual([]);
    const nothing = encoder();
    const again = await cacheLatents(numbered(), nothing.encode, options());
    expect([nothing.calls(), again.size, again.skipped.size]).toEqual([0, 24, 2]);
  });

  it("makes a damaged file again, and only that", async () => {
    await cacheLatents(numbered(), encoder().encode, options());
    truncateSync(join(folder, files().sort()[1]!), 100);
    const { encode, calls } = encoder();
    const cache = await cacheLatents(numbered(), encode, options());
    expect([calls(), cache.size]).toEqual([2, 24]);
  });

  it("is another one for another encoder or other examples", async () => {
    const first = await cacheLatents(numbered(), encoder().encode, options());
    const { encode, calls } = encoder();
    const second = await cacheLatents(numbered(), encode, options({ key: "encoder 2" }));
    expect(calls()).toBe(8);
    const other = numbered();
    const third = await cacheLatents(
      { ...other, examples: { ...other.examples!, fingerprint: "x" } },
      encode,
      options(),
    );
    expect(new Set([first.folder, second.folder, third.folder]).size).toBe(3);
  });

  it("stops when asked, between batches", async () => {
    const stop = new AbortController();
    const { encode } = encoder();
    const work = cacheLatents(
      numbered(),
      (batch) => {
        stop.abort();
        return encode(batch);
      },
      options({ signal: stop.signal }),
    );
    await expect(work).rejects.toThrow("stopped");
    await cacheLatents(numbered(), encode, options());
  });

  it("refuses sources without fixed examples, and values that float16 cannot hold", async () => {
    const { encode } = encoder();
    await expect(
      cacheLatents({ ...numbered(), examples: undefined }, encode, options()),
    ).rejects.toThrow(/"count"; leave out "crop"/);
    for (const bad of [Number.NaN, 1e6, Number.NEGATIVE_INFINITY]) {
      const broken = (): Promise<Tensor> =>
        Promise.resolve(tensor([4, 1], Float32Array.of(0, bad, 1, 2)));
      await expect(cacheLatents(numbered(), broken, options())).rejects.toThrow(
        /does not fit float16/,
      );
    }
    expect(files()).toEqual([]);
  });

  it("files are plain float16 safetensors", async () => {
    await cacheLatents(numbered(), encoder().encode, options());
    const { tensors, metadata } = await readSafetensors(
      await openFile(join(folder, files().sort()[0]!)),
    );
    expect(tensors.get("values")).toMatchObject({ dtype: "f16", shape: [7, 2, 2, 2] });
    expect(JSON.parse(metadata.about!).names).toEqual(["p0", "p1", "p2", "p4", "p5", "p6", "p7"]);
  });
});

describe("cacheEmbeddings", () => {
  /** [length of the text, its first code] */
  function encoder(): { asked: string[]; encode(texts: readonly string[]): Promise<Tensor> } {
    const asked: string[] = [];
    return {
      asked,
      async encode(texts) {
        expect(texts).toHaveLength(4);
        asked.push(...texts);
        const data = Float32Array.from(texts.flatMap((t) => [t.length, t.codePointAt(0) ?? 0]));
        return tensor([4, 1, 2], data);
      },
    };
  }
  const texts = Array.from({ length: 21 }, (_, i) => `${"a".repeat(i % 19)}`);

  it("encodes each different text once", async () => {
    const { asked, encode } = encoder();
    const cache = await cacheEmbeddings(texts, encode, options());
    expect(cache.size).toBe(19);
    expect(new Set(asked).size).toBe(19);
    expect(await cache.read(["aaa", "", "aaa"])).toEqual(
      tensor([3, 1, 2], Float32Array.of(3, 97, 0, 0, 3, 97)),
    );
    await expect(async () => cache.read(["b"])).rejects.toThrow(/"b" was not given/);
  });

  it("encodes later only what is new", async () => {
    await cacheEmbeddings(texts, encoder().encode, options());
    const { asked, encode } = encoder();
    const cache = await cacheEmbeddings(["aa", "new", ...texts], encode, options());
    expect([...new Set(asked)]).toEqual(["new"]);
    expect((await cache.read(["new", "aa"])).data).toEqual(Float32Array.of(3, 110, 2, 97));
  });

  it("goes on after an interruption", async () => {
    const first = encoder();
    let calls = 0;
    const failing = (batch: readonly string[]): Promise<Tensor> =>
      ++calls > 3 ? Promise.reject(new Error("power cut")) : first.encode(batch);
    await expect(cacheEmbeddings(texts, failing, options())).rejects.toThrow("power cut");
    const { asked, encode } = encoder();
    const cache = await cacheEmbeddings(texts, encode, options());
    expect(new Set(asked).size).toBe(19 - 8);
    expect(cache.size).toBe(19);
  });
});
