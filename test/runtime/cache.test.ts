import { execFileSync } from "node:child_process";
import {
  mkdir,
  open,
  readdir,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { describe, expect, test } from "vitest";
import { nodePlatform } from "../../src/platform/node/platform.js";
import type { Platform } from "../../src/platform/types.js";
import { type CacheEntry, clearCache, listCache } from "../../src/runtime/cache/entries.js";
import { memorySource } from "../../src/util/bytes.js";
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

/** A byte of the convolution's weight, in the exponent of a float. */
const MIDDLE = 9003;

const platformIn = (cacheDir: string): Platform => ({ ...nodePlatform(), cacheDir });

/** Runs the network in an engine of its own: how it was loaded, and what it answered. */
async function visit(
  cache: string,
  weights: string,
  choices: EngineChoices = {},
  of = graph,
): Promise<{ readonly load: string; readonly y: Float32Array }> {
  await using engine = watchedEngine(cache, choices);
  const y = await runOnce(engine, weights, of);
  return { load: engine.loads.join(), y: y.data };
}

/** The files of the cache, without those that entries name. */
async function orphans(cache: string): Promise<string[]> {
  const entries = await listCache(platformIn(cache));
  const known = new Set(entries.flatMap((e) => [`${e.key}.json`, e.graph, e.data]));
  return (await readdir(join(cache, "programs"))).filter((name) => !known.has(name));
}

/** A scratch folder with weights and the entry that a first run left. */
async function filled(): Promise<
  AsyncDisposable & { cache: string; weights: string; y: Float32Array; entry: CacheEntry }
> {
  const folder = await scratch();
  const [cache, weights] = [join(folder.path, "cache"), join(folder.path, "model.bin")];
  await writeWeights(weights, graph);
  const { load, y } = await visit(cache, weights);
  expect(load).toBe("filled");
  const [entry] = await listCache(platformIn(cache));
  return Object.assign(folder, { cache, weights, y, entry: entry! });
}

/** Flips one byte and keeps the file's size and, if asked, its time. */
async function flip(path: string, at: number, keepTime: boolean): Promise<void> {
  const { atime, mtime } = await stat(path);
  const file = await open(path, "r+");
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at);
  await file.write(Buffer.from([buffer[0]! ^ 1]), 0, 1, at);
  await file.close();
  if (keepTime) await utimes(path, atime, mtime);
}

describe("an entry is found again", () => {
  test("and gives the same numbers to the bit", async () => {
    await using at = await filled();
    const again = await visit(at.cache, at.weights);
    expect(again.load).toBe("mapped");
    expect(again.y).toEqual(at.y);
    const direct = await visit(at.cache, at.weights, { minimum: Number.POSITIVE_INFINITY });
    expect(direct.load).toBe("direct");
    expect(direct.y).toEqual(at.y);
    expect(await orphans(at.cache)).toEqual([]);
  });

  test("by any number of threads, since what is stored does not depend on it", async () => {
    await using at = await filled();
    const again = await visit(at.cache, at.weights, { threads: 2 });
    expect(again.load).toBe("mapped");
    expect(again.y).toEqual(at.y);
  });

  test("and says when it was last used", async () => {
    await using at = await filled();
    await visit(at.cache, at.weights, { now: () => 5e12 });
    const [entry] = await listCache(platformIn(at.cache));
    expect(entry).toEqual({ ...at.entry, used: 5e12 });
    expect(entry!.label).toBe("network");
    expect(entry!.bytes).toBeGreaterThan((await stat(at.weights)).size);
  });

  test.each(["model #1 100%.bin", "mo del/ünï 模型.bin", "a%20b/?&=.bin"])(
    "at the path %s",
    async (name) => {
      await using folder = await scratch();
      const [cache, weights] = [join(folder.path, "c # %41 ü"), join(folder.path, name)];
      await writeWeights(weights, graph);
      const first = await visit(cache, weights);
      const second = await visit(cache, weights);
      expect([first.load, second.load]).toEqual(["filled", "mapped"]);
      expect(second.y).toEqual(first.y);
    },
  );

  test("through a link into a folder of blobs, until the link shows another file", async () => {
    await using folder = await scratch();
    const cache = join(folder.path, "cache");
    const [one, two] = [join(folder.path, "blobs/1"), join(folder.path, "blobs/2")];
    const shown = join(folder.path, "snapshots/main/model.bin");
    await writeWeights(one, graph, 1);
    await writeWeights(two, graph, 2);
    await mkdir(dirname(shown), { recursive: true });
    await symlink(relative(dirname(shown), one), shown);
    expect((await visit(cache, shown)).load).toBe("filled");
    expect((await visit(cache, shown)).load).toBe("mapped");
    await rm(shown);
    await symlink(relative(dirname(shown), two), shown);
    expect((await visit(cache, shown)).load).toBe("filled");
  });
});

describe("what was made from something else is not found", () => {
  test("a byte in the middle of the weights", async () => {
    await using at = await filled();
    await flip(at.weights, MIDDLE, false);
    const again = await visit(at.cache, at.weights);
    expect(again.load).toBe("filled");
    expect(again.y).not.toEqual(at.y);
  });

  test("a byte of a sampled block, at the same size and time", async () => {
    await using folder = await scratch();
    const [cache, weights, large] = [
      join(folder.path, "c"),
      join(folder.path, "w"),
      network(512, 1),
    ];
    await writeWeights(weights, large);
    await utimes(weights, 1e9, 1e9);
    const { size } = await stat(weights);
    expect(size).toBeGreaterThan(1.2e6); // its end is not in the first blocks
    expect((await visit(cache, weights, {}, large)).load).toBe("filled");
    await flip(weights, size - 101, true);
    expect((await visit(cache, weights, {}, large)).load).toBe("filled");
    await flip(weights, 100, true);
    expect((await visit(cache, weights, {}, large)).load).toBe("filled");
    await flip(weights, 100, true);
    expect((await visit(cache, weights, {}, large)).load).toBe("mapped");
  });

  test("the time of the file alone", async () => {
    await using at = await filled();
    await utimes(at.weights, 1e9, 1e9);
    expect((await visit(at.cache, at.weights)).load).toBe("filled");
  });

  test("another fingerprint, another graph, another provider or setting", async () => {
    await using at = await filled();
    const rows = [
      { fingerprint: "other" },
      { provider: "xnnpack" },
      { config: { "session.x": "1" } },
    ];
    for (const row of rows) expect((await visit(at.cache, at.weights, row)).load).toBe("filled");
    expect((await visit(at.cache, at.weights, {}, network(32, 1))).load).toBe("filled");
    expect((await visit(at.cache, at.weights)).load).toBe("mapped");
    expect(await listCache(platformIn(at.cache))).toHaveLength(5);
  });

  test("weights in memory that differ in one byte", async () => {
    await using folder = await scratch();
    const weights = join(folder.path, "w");
    await writeWeights(weights, graph);
    const load = async (change: number): Promise<string> => {
      await using engine = watchedEngine(folder.path);
      const stored = await openWeights(weights, graph);
      const source = [...stored.values()][0]!.source;
      const bytes = await source.read(0, source.size);
      bytes[MIDDLE]! ^= change;
      const inMemory = memorySource("model", bytes);
      const moved = new Map([...stored].map(([k, w]) => [k, { ...w, source: inMemory }]));
      await using program = await engine.load(graph, moved, { label: "network" });
      await program.run({ x: X });
      return engine.loads.join();
    };
    expect([await load(0), await load(0), await load(1)]).toEqual(["filled", "mapped", "filled"]);
  });

  test("weights that change while they are loaded are not kept under the old name", async () => {
    await using folder = await scratch();
    const [cache, weights] = [join(folder.path, "cache"), join(folder.path, "w")];
    await writeWeights(weights, graph);
    const platform = platformIn(cache);
    let asked = 0;
    const files: Platform["files"] = {
      ...platform.files,
      async stat(path) {
        const info = await platform.files.stat(path);
        // The first look is at the old file, later ones at the new.
        return path === weights && info ? { ...info, modified: asked++ } : info;
      },
    };
    expect((await visit(cache, weights, { platform: { ...platform, files } })).load).toBe("filled");
    expect(await readdir(join(cache, "programs"))).toEqual([]);
  });
});

test("of two that fill one entry at once, the quicker one's stays", async () => {
  await using folder = await scratch();
  const [cache, weights] = [join(folder.path, "cache"), join(folder.path, "w")];
  await writeWeights(weights, graph);
  const platform = platformIn(cache);
  let quicker: CacheEntry | undefined;
  const freeSpace = async (): Promise<undefined> => {
    expect((await visit(cache, weights)).load).toBe("filled");
    [quicker] = await listCache(platform);
    return undefined;
  };
  const slow = { ...platform, files: { ...platform.files, freeSpace } };
  expect((await visit(cache, weights, { platform: slow })).load).toBe("filled");
  expect(await listCache(platform)).toEqual([quicker]);
  expect(await orphans(cache)).toEqual([]);
});

describe("damage", () => {
  const damages: readonly [string, (at: CacheEntry, folder: string) => Promise<void>][] = [
    ["truncated weights", ({ data }, folder) => truncate(join(folder, data), 5000)],
    ["deleted weights", ({ data }, folder) => rm(join(folder, data))],
    ["a deleted graph", ({ graph }, folder) => rm(join(folder, graph!))],
    [
      "a graph of zeros",
      async ({ graph }, folder) => {
        const { size } = await stat(join(folder, graph!));
        await writeFile(join(folder, graph!), new Uint8Array(size));
      },
    ],
    ["an entry of no JSON", ({ key }, folder) => writeFile(join(folder, `${key}.json`), "{")],
    [
      "an entry that names files elsewhere",
      ({ key, ...entry }, folder) =>
        writeFile(join(folder, `${key}.json`), JSON.stringify({ ...entry, key, graph: "../../w" })),
    ],
  ];
  test.each(damages)("%s: runs all the same and mends the entry", async (_, damage) => {
    await using at = await filled();
    await damage(at.entry, join(at.cache, "programs"));
    const again = await visit(at.cache, at.weights);
    expect(again).toEqual({ load: "filled", y: at.y });
    expect(await visit(at.cache, at.weights)).toEqual({ load: "mapped", y: at.y });
  });

  test("an entry whose files are not whole is not listed", async () => {
    await using at = await filled();
    await truncate(join(at.cache, "programs", at.entry.data), 5000);
    expect(await listCache(platformIn(at.cache))).toEqual([]);
  });

  test("a graph that the engine refuses is replaced, and its files go", async () => {
    await using at = await filled();
    const path = join(at.cache, "programs", at.entry.graph!);
    await writeFile(path, new Uint8Array((await stat(path)).size).fill(7));
    await visit(at.cache, at.weights);
    expect(await orphans(at.cache)).toEqual([]);
  });
});

describe("a cache that cannot be written", () => {
  const names = (cache: string): Promise<string[]> => readdir(join(cache, "programs"));

  test("a full disk: runs all the same and leaves nothing", async () => {
    await using folder = await scratch();
    const [cache, weights] = [join(folder.path, "cache"), join(folder.path, "w")];
    await writeWeights(weights, graph);
    await mkdir(cache);
    const platform = platformIn(cache);
    // A disk that fills up while the weights are written, whatever it promised.
    const files = { ...platform.files, freeSpace: async () => undefined };
    const mount = tryMount(cache, 6 * 4096);
    try {
      if (mount === undefined) {
        files.writeAtomically = async () => Promise.reject(new Error("ENOSPC"));
      }
      const { load, y } = await visit(cache, weights, { platform: { ...platform, files } });
      expect(load).toBe(mount === undefined ? "filled" : "direct");
      expect(y.every(Number.isFinite)).toBe(true);
      expect(await names(cache)).toEqual([]);
    } finally {
      mount?.();
    }
  });

  test("too little room is seen beforehand", async () => {
    await using folder = await scratch();
    const [cache, weights] = [join(folder.path, "cache"), join(folder.path, "w")];
    await writeWeights(weights, graph);
    const platform = platformIn(cache);
    const files = { ...platform.files, freeSpace: async () => 1000 };
    const { load } = await visit(cache, weights, { platform: { ...platform, files } });
    expect(load).toBe("direct");
    expect(await names(cache)).toEqual([]);
  });

  test("a folder that cannot be made", async () => {
    await using folder = await scratch();
    const [cache, weights] = [join(folder.path, "cache"), join(folder.path, "w")];
    await writeWeights(weights, graph);
    await writeFile(cache, "a file where the folder should be");
    expect((await visit(cache, weights)).load).toBe("direct");
  });

  test("an entry that cannot be written leaves no weights behind", async () => {
    await using folder = await scratch();
    const [cache, weights] = [join(folder.path, "cache"), join(folder.path, "w")];
    await writeWeights(weights, graph);
    const platform = platformIn(cache);
    const writeAtomically = () => Promise.reject(new Error("read-only"));
    const files = { ...platform.files, writeAtomically };
    const { load } = await visit(cache, weights, { platform: { ...platform, files } });
    expect(load).toBe("filled");
    expect(await names(cache)).toEqual([]);
  });

  test("an entry that cannot be marked as used is used", async () => {
    await using at = await filled();
    const platform = platformIn(at.cache);
    const writeAtomically = () => Promise.reject(new Error("read-only"));
    const files = { ...platform.files, writeAtomically };
    const { load } = await visit(at.cache, at.weights, { platform: { ...platform, files } });
    expect(load).toBe("mapped");
  });
});

/** Mounts a disk of this size, where one may; the result takes it off again. */
function tryMount(path: string, bytes: number): (() => void) | undefined {
  try {
    const options = ["-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", path];
    execFileSync("mount", options, { stdio: "ignore" });
    return () => void execFileSync("umount", [path], { stdio: "ignore" });
  } catch {
    return undefined;
  }
}

describe("the limit", () => {
  test("the least recently used go first", async () => {
    await using folder = await scratch();
    const cache = join(folder.path, "cache");
    const paths = ["a", "b", "c", "d"].map((name) => join(folder.path, name));
    for (const [i, path] of paths.entries()) await writeWeights(path, graph, i);
    let time = 1e12;
    const now = (): number => time++;
    const used = (await visit(cache, paths[0]!, { now })).load;
    expect(used).toBe("filled");
    const { bytes } = (await listCache(platformIn(cache)))[0]!;
    const need = 8 * ((await stat(paths[0]!)).size / 4);
    const limit = 100 + 2 * bytes + Math.max(need, bytes); // room for two beside the one that is made
    const go = async (k: number): Promise<string> =>
      (await visit(cache, paths[k]!, { now, limit })).load;
    expect([await go(1), await go(2)]).toEqual(["filled", "filled"]);
    expect(await go(0)).toBe("mapped"); // b is now the least recently used
    expect(await go(3)).toBe("filled");
    const kept = await listCache(platformIn(cache));
    expect(kept.map((e) => e.used)).toEqual([...kept.map((e) => e.used)].sort((x, y) => y - x));
    expect([await go(3), await go(0), await go(2)]).toEqual(["mapped", "mapped", "mapped"]);
    expect(await go(1)).toBe("filled");
    const left = await listCache(platformIn(cache));
    expect(left.reduce((n, e) => n + e.bytes, 0)).toBeLessThanOrEqual(limit);
    expect(await orphans(cache)).toEqual([]);
  });

  test("a program that would not fit is not kept, and nothing goes for it", async () => {
    await using at = await filled();
    const limit = at.entry.bytes + 10;
    const other = network(64, 3);
    await writeWeights(`${at.weights}2`, other);
    const { load } = await visit(at.cache, `${at.weights}2`, { limit }, other);
    expect(load).toBe("direct");
    expect(await listCache(platformIn(at.cache))).toEqual([at.entry]);
  });

  test("files of a process that died go after an hour, and count until then", async () => {
    await using at = await filled();
    const programs = join(at.cache, "programs");
    const leftovers = ["dead-1.bin", "dead-1.onnx", ".dead.json.1-ab.tmp", "torn.json"];
    for (const name of leftovers) await writeFile(join(programs, name), new Uint8Array(1000));
    await writeWeights(`${at.weights}2`, graph, 7);
    await visit(at.cache, `${at.weights}2`);
    expect((await orphans(at.cache)).sort()).toEqual([...leftovers].sort());
    const old = Date.now() / 1000 - 3700;
    for (const name of leftovers) await utimes(join(programs, name), old, old);
    await writeFile(join(programs, "young.bin"), new Uint8Array(at.entry.bytes));
    await writeWeights(`${at.weights}3`, graph, 8);
    const need = 8 * ((await stat(at.weights)).size / 4);
    const limit = 100 + 2 * at.entry.bytes + need; // room for two beside the one that is made
    await visit(at.cache, `${at.weights}3`, { limit });
    expect(await orphans(at.cache)).toEqual(["young.bin"]);
    const left = await listCache(platformIn(at.cache));
    expect(left).toHaveLength(2); // and young.bin
    expect(left[0]!.used).toBeGreaterThan(at.entry.used);
  });
});

describe("clearing", () => {
  test("empties the folder and says how much entries had; a mapped session goes on", async () => {
    await using at = await filled();
    await writeFile(join(at.cache, "programs", "dead.bin"), "x");
    await using engine = watchedEngine(at.cache);
    const stored = await openWeights(at.weights, graph);
    await using program = await engine.load(graph, stored, { label: "network" });
    expect(engine.loads).toEqual(["mapped"]);
    expect(await clearCache(platformIn(at.cache))).toBe(at.entry.bytes);
    expect(await readdir(join(at.cache, "programs"))).toEqual([]);
    expect((await program.run({ x: X })).y!.data).toEqual(at.y);
  });

  test("of a cache that was never filled", async () => {
    await using folder = await scratch();
    expect(await clearCache(platformIn(folder.path))).toBe(0);
    expect(await listCache(platformIn(folder.path))).toEqual([]);
  });

  test("goes on past a file that cannot be removed, and tells of it", async () => {
    await using at = await filled();
    const platform = platformIn(at.cache);
    const remove = (path: string): Promise<void> =>
      path.endsWith(".bin") ? Promise.reject(new Error("busy")) : platform.files.remove(path);
    const stubborn = { ...platform, files: { ...platform.files, remove } };
    await expect(clearCache(stubborn)).rejects.toThrow("busy");
    expect(await readdir(join(at.cache, "programs"))).toEqual([at.entry.data]);
  });

  test("while others load: each answers as ever, and the cache mends", async () => {
    await using at = await filled();
    await using engine = watchedEngine(at.cache);
    let done = false;
    const clearing = (async () => {
      while (!done) await clearCache(platformIn(at.cache));
    })();
    for (let i = 0; i < 12; i++) expect((await runOnce(engine, at.weights)).data).toEqual(at.y);
    done = true;
    await clearing;
    expect(engine.loads).toHaveLength(12);
    await visit(at.cache, at.weights);
    expect((await visit(at.cache, at.weights)).load).toBe("mapped");
  });
});

test("small programs are not kept", async () => {
  await using folder = await scratch();
  const [cache, weights] = [join(folder.path, "cache"), join(folder.path, "w")];
  await writeWeights(weights, graph);
  const { size } = await stat(weights);
  expect((await visit(cache, weights, { minimum: size + 1 })).load).toBe("direct");
  expect((await visit(cache, weights, { minimum: size })).load).toBe("filled");
});

test("programs of weights that are worked out are kept while they are smaller", async () => {
  await using folder = await scratch();
  const [cache, path] = [join(folder.path, "cache"), join(folder.path, "w")];
  await writeWeights(path, graph);
  const { size } = await stat(path);
  const read = await openWeights(path, graph);
  const workedOut = new Map(
    [...read].map(([name, weight]) => {
      const { name: title, size, read } = weight.source;
      const derived = { from: [weight.source], how: "as it is" };
      return [name, { ...weight, source: { name: title, size, read, derived } }];
    }),
  );
  await using on = watchedEngine(cache, { minimum: size + 1 });
  for (const weights of [read, workedOut, workedOut]) {
    await using program = await on.load(graph, weights, { label: "network" });
    await program.run({ x: X });
  }
  expect(on.loads).toEqual(["direct", "filled", "mapped"]);
});
