/**
 * What a second process takes that holds the same model: two processes load a UNet from a warm cache, take
 * one guided step each, and hold it, while /proc says which of their memory is shared. Linux only. Adds what
 * it measured to bench/results/sharing.json.
 *
 *     npx tsx bench/sharing.ts --model MODEL [--dtype fp32] [--side 512] [--threads N]
 *
 * A process before them fills the cache (TINTYPE_CACHE) where it is cold. Stable Diffusion 1.5 takes 5.5 GB.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { loadModel, nodePlatform, type RunOptions } from "../src/node.js";
import { PROGRAMS } from "../src/runtime/cache/entries.js";
import { torchCpuNoise } from "../src/tensor/random.js";
import { machine } from "./workers.js";

interface Case {
  readonly model: string;
  readonly dtype: NonNullable<RunOptions["dtype"]>;
  /** Pixels of the picture's side. */
  readonly side: number;
  readonly threads: number | undefined;
}

/** Bytes in memory: all that a process sees, its share of them, and what others have as well or not. */
interface Memory {
  readonly rss: number;
  readonly pss: number;
  readonly shared: number;
  readonly private: number;
}

/** One process that holds the UNet. */
interface Holder {
  readonly all: Memory;
  /** Of that, the files of the cache and of the model. */
  readonly weights: Memory;
}

/** Adds up the mappings of a process whose header lines pass. */
function memory(pid: number, isCounted: (header: string) => boolean): Memory {
  const sums = new Map<string, number>();
  let counted = false;
  for (const line of readFileSync(`/proc/${pid}/smaps`, "utf8").split("\n")) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) counted = isCounted(line);
    const [, name, kilobytes] = /^(\w+): +(\d+) kB$/.exec(line) ?? [];
    if (counted && name) sums.set(name, (sums.get(name) ?? 0) + 1024 * Number(kilobytes));
  }
  const of = (...names: string[]): number =>
    names.reduce((n, name) => n + (sums.get(name) ?? 0), 0);
  return {
    rss: of("Rss"),
    pss: of("Pss"),
    shared: of("Shared_Clean", "Shared_Dirty"),
    private: of("Private_Clean", "Private_Dirty"),
  };
}

/** Takes one guided step, says so, and holds the UNet until its input ends. */
async function hold({ model: ref, side, ...options }: Case): Promise<void> {
  await using model = await loadModel(ref, { ...options, device: "cpu" });
  const noise = torchCpuNoise(0);
  const latent = side / model.factor;
  const x = noise.randn([1, model.unet.inChannels, latent, latent]);
  await model.predict(x, 500, noise.randn([2, 77, model.unet.crossAttentionDim]));
  console.log("held");
  await once(process.stdin.resume(), "end");
}

/** A process that has taken its step. */
async function start(which: Case): Promise<ChildProcess> {
  const args = ["--import", "tsx", import.meta.filename, "--child", JSON.stringify(which)];
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  const { done } = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next();
  if (done) throw new Error("a process ended before it had taken its step");
  return child;
}

async function stop(child: ChildProcess): Promise<void> {
  child.stdin!.end();
  await once(child, "close");
}

async function measure(which: Case): Promise<{ readonly alone: Holder; readonly two: Holder[] }> {
  await stop(await start(which)); // fills the cache
  const folders = [`${nodePlatform().cacheDir}/${PROGRAMS}/`, resolve(which.model)];
  const isMapped = (header: string): boolean => folders.some((folder) => header.includes(folder));
  const holder = ({ pid }: ChildProcess): Holder => ({
    all: memory(pid!, () => true),
    weights: memory(pid!, isMapped),
  });
  const first = await start(which);
  const alone = holder(first);
  const second = await start(which);
  const two = [first, second].map(holder);
  await Promise.all([first, second].map(stop));
  return { alone, two };
}

const FILE = resolve(import.meta.dirname, "results/sharing.json");

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    dtype: { type: "string", default: "fp32" },
    side: { type: "string", default: "512" },
    threads: { type: "string" },
    child: { type: "string" },
  },
});
if (values.child !== undefined) {
  await hold(JSON.parse(values.child) as Case);
} else {
  if (values.model === undefined) throw new Error("--model: expected a model");
  const { model, dtype, side, threads } = values;
  const found = await measure({
    model,
    dtype: dtype as Case["dtype"],
    side: Number(side),
    threads: threads === undefined ? undefined : Number(threads),
  });
  const known = existsSync(FILE) ? JSON.parse(readFileSync(FILE, "utf8")).bytes : {};
  const bytes = { ...known, [dtype]: { side: Number(side), ...found } };
  writeFileSync(FILE, `${JSON.stringify({ machine: machine(), bytes }, null, 2)}\n`);
  console.log(JSON.stringify(found, null, 2));
}
