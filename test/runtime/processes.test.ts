import { type ChildProcess, spawn } from "node:child_process";
import { readdir, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { nodePlatform } from "../../src/platform/node/platform.js";
import { listCache } from "../../src/runtime/cache.js";
import { network, runOnce, scratch, watchedEngine, writeWeights } from "./support.js";

const CHILD = fileURLToPath(new URL("./child.ts", import.meta.url));

interface Answer {
  readonly loads: readonly string[];
  readonly digest: string;
  /** Bytes of anonymous memory that loading and running took. */
  readonly grown: number;
}

/** The network in a process of its own; `loading` resolves when its engine begins to load. */
function start(cache: string, weights: string, width: number, layers: number) {
  const options = ["--import", "tsx", CHILD, cache, weights, `${width}`, `${layers}`];
  const child: ChildProcess = spawn(process.execPath, options, {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  const loading = new Promise<void>((resolve) => {
    child.stdout!.on("data", (chunk) => {
      text += chunk;
      if (text.includes("loading\n")) resolve();
    });
    child.once("close", () => resolve());
  });
  const ended = new Promise<Answer | undefined>((resolve) => {
    child.once("close", () => {
      const json = /^\{.*\}$/m.exec(text)?.[0];
      resolve(json === undefined ? undefined : (JSON.parse(json) as Answer));
    });
  });
  return { child, loading, ended };
}

const entriesOf = (cache: string) => listCache({ ...nodePlatform(), cacheDir: cache });

test("two processes that fill one entry at once both succeed and leave one", async () => {
  await using folder = await scratch();
  const [cache, weights] = [join(folder.path, "cache"), join(folder.path, "w")];
  await writeWeights(weights, network(512, 4));
  const both = [start(cache, weights, 512, 4), start(cache, weights, 512, 4)];
  const [a, b] = await Promise.all(both.map((p) => p.ended));
  expect(a!.digest).toBe(b!.digest);
  expect([a!.loads.join(), b!.loads.join()]).toContain("filled");
  const entries = (await entriesOf(cache)).filter((e) => e.label === "network");
  expect(entries).toHaveLength(1);
  const names = await readdir(join(cache, "programs"));
  const ours = names.filter((name) => name.startsWith(entries[0]!.key));
  const { key, graph, data } = entries[0]!;
  expect(ours.sort()).toEqual([`${key}.json`, graph, data].sort());
  const later = await start(cache, weights, 512, 4).ended;
  expect(later).toMatchObject({ loads: ["mapped"], digest: a!.digest });
});

test("a process killed while it fills leaves nothing that is found, and its files go in time", async () => {
  await using folder = await scratch();
  const [cache, weights] = [join(folder.path, "cache"), join(folder.path, "w")];
  const graph = network(1024, 16);
  await writeWeights(weights, graph);
  const { child, loading, ended } = start(cache, weights, 1024, 16);
  await loading;
  const programs = join(cache, "programs");
  const half = async (): Promise<string | undefined> => {
    const known = new Set((await entriesOf(cache)).flatMap((e) => [e.data]));
    for (const name of await readdir(programs).catch(() => [])) {
      const large = name.endsWith(".bin") && !known.has(name);
      if (large && (await stat(join(programs, name))).size > 1 << 20) return name;
    }
    return undefined;
  };
  let torn: string | undefined;
  while (torn === undefined && child.exitCode === null) torn = await half();
  child.kill("SIGKILL");
  expect(await ended).toBeUndefined();
  expect(torn).toBeDefined();
  expect(await readdir(programs)).toContain(torn);

  await using engine = watchedEngine(cache);
  await runOnce(engine, weights, graph);
  await runOnce(engine, weights, graph);
  expect(engine.loads).toEqual(["filled", "mapped"]);
  expect(await readdir(programs)).toContain(torn); // young: its writer may be alive
  const old = Date.now() / 1000 - 3700;
  await utimes(join(programs, torn!), old, old);
  await writeWeights(`${weights}2`, network());
  await runOnce(engine, `${weights}2`);
  expect(await readdir(programs)).not.toContain(torn);
  await runOnce(engine, weights, graph);
  expect(engine.loads).toEqual(["filled", "mapped", "filled", "mapped"]);
});

test.skipIf(process.platform !== "linux")(
  "a mapped program takes no memory of its own for its weights",
  async () => {
    await using folder = await scratch();
    const [cache, weights] = [join(folder.path, "cache"), join(folder.path, "w")];
    await writeWeights(weights, network(1024, 16));
    const { size } = await stat(weights);
    expect(size).toBeGreaterThan(64e6);
    const filling = await start(cache, weights, 1024, 16).ended;
    const mapped = await start(cache, weights, 1024, 16).ended;
    expect([filling!.loads, mapped!.loads]).toEqual([["filled"], ["mapped"]]);
    expect(mapped!.digest).toBe(filling!.digest);
    expect(filling!.grown).toBeGreaterThan(0.8 * size); // so the measure sees weights
    expect(mapped!.grown).toBeLessThan(0.2 * size);
  },
);
