import { type ChildProcess, spawn } from "node:child_process";
import { readdir, readFile, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { nodePlatform } from "../../src/platform/node/platform.js";
import { listCache } from "../../src/runtime/cache/entries.js";
import { network, runOnce, scratch, watchedEngine, writeWeights } from "./support.js";

const CHILD = fileURLToPath(new URL("./child.ts", import.meta.url));

interface Answer {
  readonly loads: readonly string[];
  readonly digest: string;
  /** Bytes of anonymous memory that loading and running took. */
  readonly grown: number;
}

/**
 * The network in a process of its own; `loading` resolves when its engine begins to load, `answered`
 * when it has run. What is held keeps its program until its `stdin` ends.
 */
function start(cache: string, weights: string, width: number, layers: number, held = false) {
  const options = ["--import", "tsx", CHILD, cache, weights, `${width}`, `${layers}`];
  const child: ChildProcess = spawn(process.execPath, options, {
    stdio: [held ? "pipe" : "ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout!.on("data", (chunk) => {
    text += chunk;
  });
  /** Resolves with what is found in the output, as soon as it is there; at its end without. */
  const until = (pattern: RegExp) =>
    new Promise<string | undefined>((resolve) => {
      child.stdout!.on("data", () => pattern.test(text) && resolve(pattern.exec(text)![0]));
      child.once("close", () => resolve(pattern.exec(text)?.[0]));
    });
  const loading = until(/loading\n/);
  const answered = until(/^\{.*\}$/m).then((json) =>
    json === undefined ? undefined : (JSON.parse(json) as Answer),
  );
  const ended = new Promise((resolve) => child.once("close", resolve)).then(() => answered);
  return { child, loading, answered, ended };
}

type Held = ReturnType<typeof start>;

/** Bytes of a file that a process has mapped and in memory, in all, alone, and as its share; Linux only. */
async function mappedBytes(pid: number, path: string) {
  const found = { Rss: 0, Pss: 0, Private_Clean: 0, Private_Dirty: 0 };
  let ours = false;
  for (const line of (await readFile(`/proc/${pid}/smaps`, "utf8")).split("\n")) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) ours = line.endsWith(path);
    const [, name = "", kilobytes] = /^(\w+): +(\d+) kB$/.exec(line) ?? [];
    if (ours && name in found) found[name as keyof typeof found] += 1024 * Number(kilobytes);
  }
  const { Rss, Pss, Private_Clean, Private_Dirty } = found;
  return { resident: Rss, share: Pss, own: Private_Clean + Private_Dirty };
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
  "a mapped program takes no memory of its own for its weights, and two processes have them once",
  async () => {
    await using folder = await scratch();
    const [cache, weights] = [join(folder.path, "cache"), join(folder.path, "w")];
    await writeWeights(weights, network(1024, 16));
    const { size } = await stat(weights);
    expect(size).toBeGreaterThan(64e6);
    const filling = await start(cache, weights, 1024, 16).ended;
    expect(filling!.loads).toEqual(["filled"]);
    expect(filling!.grown).toBeGreaterThan(0.8 * size); // so the measure sees weights
    const [entry] = (await entriesOf(cache)).filter((e) => e.label === "network");
    const data = join(cache, "programs", entry!.data);

    const both = [0, 1].map(() => start(cache, weights, 1024, 16, true)) as [Held, Held];
    for (const { answered } of both) {
      const { loads, digest, grown } = (await answered)!;
      expect([loads, digest]).toEqual([["mapped"], filling!.digest]);
      expect(grown).toBeLessThan(0.2 * size);
    }
    for (const { child } of both) {
      const { resident, own, share } = await mappedBytes(child.pid!, data);
      expect(resident).toBeGreaterThan(0.9 * size);
      expect(own).toBeLessThan(0.01 * resident);
      expect(share / resident).toBeCloseTo(0.5);
    }
    both[0].child.stdin!.end();
    await both[0].ended;
    const alone = await mappedBytes(both[1].child.pid!, data);
    expect(alone.own).toBe(alone.resident); // the measure tells one holder from two
    both[1].child.stdin!.end();
    await both[1].ended;
  },
);
