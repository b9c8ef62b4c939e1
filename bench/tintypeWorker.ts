/** Tintype, asked by the other benchmarks: the same requests as diffusersWorker.py answers. */
import { createInterface } from "node:readline";
import { findModel, nodePlatform } from "../src/node.js";
import { type DiffusionModel, openModel } from "../src/pipelines/index.js";
import { nodeEngine } from "../src/runtime/node/engine.js";
import { torchCpuNoise } from "../src/tensor/random.js";

interface Request {
  readonly do: "load" | "step" | "decode" | "text" | "memory" | "release";
  readonly folder?: string;
  /** What will be measured: only its parts are loaded; all by default. */
  readonly parts?: readonly string[];
  readonly threads?: number;
  readonly side?: number;
  readonly batch?: number;
}

let model: DiffusionModel | undefined;
const noise = torchCpuNoise(0);
const platform = nodePlatform();

async function load({
  folder,
  threads,
  parts = ["text", "step", "decode"],
}: Request): Promise<void> {
  const engine = nodeEngine({ platform, device: "cpu", threads: threads || undefined });
  model = await openModel(await findModel(folder!, { platform }), { engine });
  const small = noise.randn([2, 4, 8, 8]);
  if (parts.includes("text")) await model.encodePrompts(["a", "b"]);
  if (parts.includes("step")) await model.predict(small, 500, noise.randn([2, 77, 768]));
  if (parts.includes("decode")) await model.decodeLatents(noise.randn([1, 4, 8, 8]));
}

async function seconds(act: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await act();
  return (performance.now() - started) / 1000;
}

async function answer(request: Request): Promise<number> {
  const { batch = 1 } = request;
  const side = (request.side ?? 512) / 8;
  if (request.do === "load") return await seconds(() => load(request));
  if (request.do === "step") {
    const x = noise.randn([2 * batch, 4, side, side]);
    const context = noise.randn([2 * batch, 77, 768]);
    return await seconds(() => model!.predict(x, 500, context));
  }
  if (request.do === "decode") {
    const latents = noise.randn([1, 4, side, side]);
    return await seconds(() => model!.decodeLatents(latents));
  }
  if (request.do === "text") return await seconds(() => model!.encodePrompts(["a", "b"]));
  if (request.do === "release") return await seconds(() => model!.release("unet"));
  return process.resourceUsage().maxRSS * 1024;
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify({ value: await answer(JSON.parse(line) as Request) }));
}
