import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { symbol } from "../../src/graph/dim.js";
import { type Graph, graphOf, manifest } from "../../src/graph/graph.js";
import { input } from "../../src/graph/ops.js";
import { conv2d, denseParams, groupNorm, linear, toTokens } from "../../src/nn/index.js";
import { nodePlatform } from "../../src/platform/node/platform.js";
import { openFile } from "../../src/platform/node/sources.js";
import { startNodeWorker } from "../../src/platform/node/worker.js";
import type { Platform } from "../../src/platform/types.js";
import type { CacheOptions } from "../../src/runtime/cache/entries.js";
import { programCache } from "../../src/runtime/cache/programs.js";
import { type Client, connect } from "../../src/runtime/client.js";
import { type Engine, engine } from "../../src/runtime/engine.js";
import type { Request } from "../../src/runtime/protocol.js";
import { deviceSetup } from "../../src/runtime/setups.js";
import type { StoredTensor, StoredTensors } from "../../src/tensor/stored.js";
import { sizeOf, type Tensor } from "../../src/tensor/tensor.js";
import { pseudoRandom } from "../engine/run.js";

/*
 * A small network over weights in a file, and an engine whose cache takes it.
 */

/** A folder of its own for one test, gone afterwards. */
export async function scratch(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "tintype-runtime-"));
  return {
    path,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

/** A convolution and fully connected layers of `width`: prepacked and reordered by the CPU. */
export function network(width = 32, layers = 2): Graph {
  const p = denseParams();
  const x = input("x", [symbol("b"), 16, symbol("h"), symbol("w")]);
  const pixels = groupNorm(p.at("norm"), conv2d(p.at("conv"), x, width, 3), 8, 1e-5);
  let y = toTokens(pixels);
  for (let i = 0; i < layers; i++) y = linear(p.at(`layers.${i}`), y, width);
  return graphOf({ y });
}

/** What the network is fed. */
export const X: Tensor = pseudoRandom([2, 16, 5, 7], 1);

/** Writes the weights of a graph, drawn from a seed, one after another into one file. */
export async function writeWeights(path: string, graph: Graph, seed = 1): Promise<void> {
  const chunks = [...manifest(graph).values()].map((shape, i) => {
    const { data } = pseudoRandom(shape, seed + i, [-0.1, 0.1]);
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  });
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, Buffer.concat(chunks));
}

/** The weights that `writeWeights` wrote. */
export async function openWeights(path: string, graph: Graph): Promise<StoredTensors> {
  const source = await openFile(path);
  let offset = 0;
  const weights = new Map<string, StoredTensor>();
  for (const [name, shape] of manifest(graph)) {
    const length = 4 * sizeOf(shape);
    weights.set(name, { dtype: "f32", shape, source, offset, length });
    offset += length;
  }
  return weights;
}

/** An engine on the CPU, and how it came by its programs. */
export interface WatchedEngine extends Engine {
  /** One word a load, in order: "mapped" from the cache, "filled" into it, over "blocks", or "direct". */
  readonly loads: string[];
  readonly client: Client;
}

/** What a test may choose about an engine. */
export interface EngineChoices extends Partial<CacheOptions> {
  readonly threads?: number;
  /** What the cache is told of the provider and its settings; the CPU runs it all the same. */
  readonly provider?: string;
  readonly config?: Readonly<Record<string, string>>;
  /** Whether weights of convolutions are kept in blocks; by default programs are, as the engine saves them. */
  readonly blocks?: boolean;
}

/** An engine whose cache lies in `cacheDir` and takes programs of any size. */
export function watchedEngine(cacheDir: string, choices: EngineChoices = {}): WatchedEngine {
  const { threads = 1, provider = "cpu", config = {}, blocks = false, ...options } = choices;
  const platform: Platform = { ...nodePlatform(), cacheDir };
  const worker = startNodeWorker(new URL("../../src/runtime/node/worker.js", import.meta.url));
  const inner = connect(worker);
  const loads: string[] = [];
  const request = async (asked: Request, transfer?: readonly ArrayBuffer[]): Promise<unknown> => {
    if (asked.kind !== "load") return await inner.request(asked, transfer);
    const spec = { ...asked.spec, provider: "cpu" };
    const reply = await inner.request({ ...asked, spec }, transfer);
    if (!isProbe(asked)) loads.push(howLoaded(asked));
    return reply;
  };
  const client = { ...inner, request } as Client;
  const cache = programCache({
    platform,
    limit: 1 << 30,
    minimum: 0,
    fingerprint: "test",
    now: Date.now,
    ...options,
  });
  const { blocks: inBlocks, ...plain } = deviceSetup("cpu", { threads, cache });
  const setup = { ...plain, provider, config, ...(blocks && inBlocks ? { blocks: inBlocks } : {}) };
  return { ...engine(client, setup), loads, client };
}

/** Whether a session only asks what the processor can do. */
const isProbe = ({ spec }: Extract<Request, { kind: "load" }>): boolean =>
  typeof spec.model !== "string" && spec.optimization === "disabled";

function howLoaded({ spec }: Extract<Request, { kind: "load" }>): string {
  if (spec.saveTo !== undefined) return "filled";
  if (spec.optimization === "extended") return "blocks";
  return typeof spec.model === "string" ? "mapped" : "direct";
}

/** Loads the network over the weights at `path`, runs it once, and frees it. */
export async function runOnce(
  on: Engine,
  path: string,
  graph: Graph = network(),
  label = "network",
): Promise<Tensor> {
  await using program = await on.load(graph, await openWeights(path, graph), { label });
  return (await program.run({ x: X })).y!;
}
