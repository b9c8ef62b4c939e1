import { createInterface } from "node:readline";
import { type DiffusionModel, loadModel, type RunOptions } from "../../src/node.js";
import { torchCpuNoise } from "../../src/tensor/random.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { TintypeError } from "../../src/util/errors.js";
import { ownPeakMemory } from "./process.js";
import type { WorkerAnswer, WorkerPart, WorkerRequest } from "./protocol.js";

/*
 * Tintype under measurement: started by `tintype bench`, asked line by line.
 */

const PROMPTS = ["a photograph of an astronaut riding a horse", ""];
const noise = torchCpuNoise(0);
let model: DiffusionModel | undefined;
/** By batch: one tensor for all calls, as the steps of a picture share it. */
const contexts = new Map<number, Tensor>();

async function load(request: WorkerRequest & { readonly do: "load" }): Promise<WorkerAnswer> {
  const started = performance.now();
  let told = { about: "", dtype: "" };
  model = await loadModel(request.model, {
    device: request.device as NonNullable<RunOptions["device"]>,
    dtype: request.dtype as NonNullable<RunOptions["dtype"]>,
    threads: request.threads,
    onDevice: ({ device: { name, detail } }, dtype) => {
      told = { about: `${name}: ${detail}`, dtype };
    },
  });
  // A part is loaded when it is first called: for the smallest picture.
  for (const part of request.parts) await guidedCall(model, part, 8 * model.factor, 1)();
  return { value: (performance.now() - started) / 1000, ...told };
}

/**
 * What is timed: one call of a part, for so many pictures at once. Its inputs are made before. Throws
 * "out-of-memory" for sizes that would not fit.
 */
function guidedCall(
  model: DiffusionModel,
  part: WorkerPart,
  side: number,
  batch: number,
): () => Promise<unknown> {
  const latent = side / model.factor;
  if (part === "text") return () => model.encodePrompts(PROMPTS);
  const size = { width: side, height: side, batch, guided: true };
  model.checkMemory(size, [part === "step" ? "unet" : "decoder"]);
  if (part === "decode") {
    const latents = noise.randn([batch, model.vae.latentChannels, latent, latent]);
    return () => model.decodeLatents(latents);
  }
  const x = noise.randn([batch, model.unet.inChannels, latent, latent]);
  const width = model.unet.crossAttentionDim;
  const context = contexts.get(batch) ?? noise.randn([2 * batch, 77, width]);
  contexts.set(batch, context);
  return () => model.predict(x, 500, context);
}

async function answer(request: WorkerRequest): Promise<WorkerAnswer> {
  if (request.do === "load") return await load(request);
  if (request.do === "memory") return { value: ownPeakMemory() };
  if (request.do === "picture") return { error: "tintype generate makes Tintype's pictures" };
  if (model === undefined) return { error: "no model is loaded" };
  const call = guidedCall(model, request.do, request.side, request.batch);
  const started = performance.now();
  await call();
  return { value: (performance.now() - started) / 1000 };
}

for await (const line of createInterface({ input: process.stdin })) {
  const reply = await answer(JSON.parse(line) as WorkerRequest).catch(
    (error: unknown): WorkerAnswer => {
      if (error instanceof TintypeError) return { error: error.message, code: error.code };
      return { error: error instanceof Error ? error.message : String(error) };
    },
  );
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
