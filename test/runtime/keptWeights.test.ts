import { readdir, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { graphOf } from "../../src/graph/graph.js";
import { mul } from "../../src/graph/ops.js";
import { nodePlatform } from "../../src/platform/node/platform.js";
import type { Platform } from "../../src/platform/types.js";
import { type CacheEntry, listCache } from "../../src/runtime/cache/entries.js";
import { f32ToF16, readTensor } from "../../src/tensor/convert.js";
import type { StoredTensor } from "../../src/tensor/stored.js";
import { memorySource } from "../../src/util/bytes.js";
import { relativeError } from "../engine/run.js";
import {
  type EngineChoices,
  network,
  openWeights,
  runOnce,
  scratch,
  watchedEngine,
  writeWeights,
  X,
} from "./support.js";

const graph = network();
const platformIn = (cacheDir: string): Platform => ({ ...nodePlatform(), cacheDir });
const entriesOf = (cache: string): Promise<CacheEntry[]> => listCache(platformIn(cache));
const namesIn = (cache: string): Promise<string[]> => readdir(join(cache, "programs"));

/** Runs a network in an engine of its own: how it was loaded, and what it answered. */
async function visit(cache: string, weights: string, choices: EngineChoices = {}, of = graph) {
  await using engine = watchedEngine(cache, { blocks: true, ...choices });
  const y = await runOnce(engine, weights, of);
  return { load: engine.loads.join(), y: y.data };
}

/** A scratch folder with weights, and what a first run left and answered. */
async function kept() {
  const folder = await scratch();
  const [cache, weights] = [join(folder.path, "cache"), join(folder.path, "model.bin")];
  await writeWeights(weights, graph);
  const { load, y } = await visit(cache, weights);
  const entries = await entriesOf(cache);
  return Object.assign(folder, { cache, weights, load, y, entry: entries[0]!, entries });
}

describe("weights of convolutions in blocks", () => {
  test("are written once and found again, and give the same numbers to the bit", async () => {
    await using at = await kept();
    expect(at.load).toBe("blocks");
    expect(at.entries).toHaveLength(1);
    expect(await namesIn(at.cache)).toEqual([`${at.entry.key}.json`, at.entry.data].sort());
    // Those of the convolution alone: of linear layers, programs map the model's own file.
    expect(at.entry.bytes).toBe(4 * 32 * 16 * 9);
    const path = join(at.cache, "programs", at.entry.data);
    const { mtimeMs } = await stat(path);
    const again = await visit(at.cache, at.weights, { now: () => 5e12 });
    expect(again).toEqual({ load: "blocks", y: at.y });
    expect((await stat(path)).mtimeMs).toBe(mtimeMs);
    expect(await entriesOf(at.cache)).toEqual([{ ...at.entry, used: 5e12 }]);
  });

  test("give the numbers of row-major ones", async () => {
    await using at = await kept();
    const plain = await visit(join(at.path, "other"), at.weights, { blocks: false });
    expect(plain.load).toBe("filled");
    expect(relativeError(at.y, plain.y)).toBeLessThan(1e-6);
  });

  test("serve every program over them, also one that asks for few", async () => {
    await using at = await kept();
    const { y } = graph.outputs;
    const twice = graphOf({ y: mul(y!, 2) });
    expect((await visit(at.cache, at.weights, {}, twice)).y).toEqual(at.y.map((v) => 2 * v));
    await using engine = watchedEngine(at.cache, { blocks: true });
    const all = await openWeights(at.weights, graph);
    await using part = await engine.load(network(32, 1), all, { label: "a part" });
    await part.run({ x: X });
    expect(engine.loads).toEqual(["blocks"]);
    expect(await entriesOf(at.cache)).toMatchObject([{ key: at.entry.key, label: "network" }]);
  });

  test("are kept in float32 with all others where a file has halves", async () => {
    await using at = await kept();
    const stored = await openWeights(at.weights, graph);
    const halves = new Map<string, StoredTensor>();
    const chunks: Uint8Array[] = [];
    let offset = 0;
    for (const [name, tensor] of stored) {
      const { buffer } = f32ToF16((await readTensor(tensor)).data);
      chunks.push(new Uint8Array(buffer));
      halves.set(name, { ...tensor, dtype: "f16", offset, length: buffer.byteLength });
      offset += buffer.byteLength;
    }
    await writeFile(`${at.weights}16`, Buffer.concat(chunks));
    const source = await nodePlatform().openFile(`${at.weights}16`);
    const weights = new Map([...halves].map(([name, tensor]) => [name, { ...tensor, source }]));
    await using engine = watchedEngine(at.cache, { blocks: true });
    await using program = await engine.load(graph, weights, { label: "halves" });
    const { y } = await program.run({ x: X });
    expect(engine.loads).toEqual(["blocks"]);
    expect(relativeError(y!.data, at.y)).toBeLessThan(1e-3);
    const [entry] = await entriesOf(at.cache);
    expect(entry).toMatchObject({ label: "halves" });
    expect(entry!.bytes).toBeGreaterThanOrEqual(2 * offset);
  });
});

describe("what was made from something else is not found", () => {
  test("another time of the model's file, another fingerprint", async () => {
    await using at = await kept();
    await visit(at.cache, at.weights, { fingerprint: "other" });
    await utimes(at.weights, 1e9, 1e9);
    await visit(at.cache, at.weights);
    const keys = (await entriesOf(at.cache)).map(({ key }) => key);
    expect(new Set([at.entry.key, ...keys]).size).toBe(3);
  });

  test("weights that change while they are written are not kept under the old name", async () => {
    await using folder = await scratch();
    const [cache, weights] = [join(folder.path, "cache"), join(folder.path, "w")];
    await writeWeights(weights, graph);
    const platform = platformIn(cache);
    let asked = 0;
    const files: Platform["files"] = {
      ...platform.files,
      async stat(path) {
        const info = await platform.files.stat(path);
        return path === weights && info ? { ...info, modified: asked++ } : info;
      },
    };
    await visit(cache, weights, { platform: { ...platform, files } });
    expect(await namesIn(cache)).toEqual([]);
  });
});

test("a file that is cut short is written again", async () => {
  await using at = await kept();
  await truncate(join(at.cache, "programs", at.entry.data), 1000);
  expect(await visit(at.cache, at.weights)).toEqual({ load: "blocks", y: at.y });
  const [entry] = await entriesOf(at.cache);
  expect(entry).toMatchObject({ key: at.entry.key, bytes: at.entry.bytes });
  expect(entry!.data).not.toBe(at.entry.data);
});

test("programs that are loaded at once over the same weights write them once", async () => {
  await using folder = await scratch();
  const [cache, weights] = [join(folder.path, "cache"), join(folder.path, "w")];
  await writeWeights(weights, graph);
  const stored = await openWeights(weights, graph);
  const platform = platformIn(cache);
  const written: string[] = [];
  const files: Platform["files"] = {
    ...platform.files,
    async rename(from, path, ...rest) {
      if (path.endsWith(".weights")) written.push(path);
      await platform.files.rename(from, path, ...rest);
    },
  };
  await using engine = watchedEngine(cache, { blocks: true, platform: { ...platform, files } });
  const labels = ["one", "two", "three"];
  const programs = await Promise.all(labels.map((label) => engine.load(graph, stored, { label })));
  const [a, b, c] = await Promise.all(programs.map(async (p) => (await p.run({ x: X })).y!.data));
  expect(b).toEqual(a);
  expect(c).toEqual(a);
  expect(written).toHaveLength(1);
  expect(engine.loads).toEqual(["blocks", "blocks", "blocks"]);
  for (const program of programs) await program[Symbol.asyncDispose]();
});

test("of two that write one file at once, the quicker one's stays, for both", async () => {
  await using folder = await scratch();
  const [cache, weights] = [join(folder.path, "cache"), join(folder.path, "w")];
  await writeWeights(weights, graph);
  const platform = platformIn(cache);
  let quicker: CacheEntry | undefined;
  const freeSpace = async (): Promise<undefined> => {
    await visit(cache, weights);
    [quicker] = await entriesOf(cache);
    return undefined;
  };
  const slow = { ...platform, files: { ...platform.files, freeSpace } };
  expect((await visit(cache, weights, { platform: slow })).load).toBe("blocks");
  expect(await entriesOf(cache)).toEqual([quicker]);
  expect(await namesIn(cache)).toEqual([`${quicker!.key}.json`, quicker!.data].sort());
});

describe("where they cannot be kept, the engine puts them in order itself", () => {
  const refused: readonly [string, Partial<Platform["files"]>][] = [
    ["a disk without room", { freeSpace: async () => 1000 }],
    ["a disk that fills up", { writeAtomically: () => Promise.reject(new Error("ENOSPC")) }],
  ];
  test.each(refused)("%s", async (_, more) => {
    await using at = await kept();
    const platform = platformIn(join(at.path, "other"));
    const files = { ...platform.files, ...more };
    const { load, y } = await visit(platform.cacheDir, at.weights, {
      platform: { ...platform, files },
    });
    expect(["direct", "filled"]).toContain(load);
    expect(relativeError(y, at.y)).toBeLessThan(1e-6);
    expect(await namesIn(platform.cacheDir)).toEqual([]);
  });

  test("weights below the cache's minimum", async () => {
    await using at = await kept();
    const { size } = await stat(at.weights);
    const cache = join(at.path, "other");
    expect((await visit(cache, at.weights, { minimum: size + 1 })).load).toBe("direct");
    expect((await visit(cache, at.weights, { minimum: size })).load).toBe("blocks");
  });

  test("weights in memory", async () => {
    await using at = await kept();
    const stored = await openWeights(at.weights, graph);
    const { source } = [...stored.values()][0]!;
    const inMemory = memorySource("model", await source.read(0, source.size));
    const moved = new Map([...stored].map(([k, w]) => [k, { ...w, source: inMemory }]));
    await using engine = watchedEngine(at.cache, { blocks: true });
    await using program = await engine.load(graph, moved, { label: "network" });
    expect(relativeError((await program.run({ x: X })).y!.data, at.y)).toBeLessThan(1e-6);
    expect(engine.loads).toEqual(["filled"]);
  });
});

test("a model's file that is cut short is told of, and nothing is kept", async () => {
  await using at = await kept();
  const stored = await openWeights(at.weights, graph);
  const cache = join(at.path, "other");
  await truncate(at.weights, 1000);
  await using engine = watchedEngine(cache, { blocks: true });
  await expect(engine.load(graph, stored, { label: "network" })).rejects.toThrow(/model\.bin/);
  expect(await entriesOf(cache)).toEqual([]);
});
