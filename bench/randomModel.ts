/**
 * Writes a diffusers folder of Stable Diffusion 1.5's exact shapes with random weights, so that
 * speed and memory can be measured where nothing can be downloaded.
 * Run: npx tsx bench/randomModel.ts FOLDER
 */
import { cpSync, createWriteStream, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { finished } from "node:stream/promises";
import {
  clipConfigJson,
  modelIndexJson,
  unetConfigJson,
  vaeConfigJson,
} from "../src/checkpoints/configJson.js";
import { type TensorToWrite, writeSafetensors } from "../src/formats/index.js";
import { manifest } from "../src/graph/graph.js";
import { CLIP_L_TEXT } from "../src/models/clip/config.js";
import { TOKEN_TABLE } from "../src/models/clip/model.js";
import { SD1_UNET } from "../src/models/unet/config.js";
import { SD_VAE } from "../src/models/vae/config.js";
import { decoderGraph, encoderGraph, textGraph, unetGraph } from "../src/pipelines/graphs.js";
import { sizeOf } from "../src/tensor/tensor.js";
import { clipMerges, clipVocabulary } from "../src/text/clip.js";

const folder = process.argv[2];
if (folder === undefined) throw new Error("usage: npx tsx bench/randomModel.ts FOLDER");

/** A quick generator of uniform numbers in [-1, 1); quality does not matter here. */
function uniform(): () => number {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

const draw = uniform();

/** Weights that keep activations near unit variance. */
function* randomBytes(name: string, shape: readonly number[]): Generator<Uint8Array<ArrayBuffer>> {
  const isNorm = shape.length === 1 && name.endsWith("weight");
  const gain = Math.sqrt(3 / (shape.length === 1 ? 100 : sizeOf(shape.slice(1))));
  const values = Float32Array.from({ length: sizeOf(shape) }, () =>
    isNorm ? 1 : shape.length === 1 ? 0.05 * draw() : gain * draw(),
  );
  yield new Uint8Array(values.buffer);
}

async function writeWeights(
  path: string,
  shapes: ReadonlyMap<string, readonly number[]>,
): Promise<void> {
  const file = join(folder!, path);
  mkdirSync(resolve(file, ".."), { recursive: true });
  const stream = createWriteStream(file);
  const tensors = new Map(
    [...shapes].map(([name, shape]): [string, TensorToWrite] => [
      name,
      { dtype: "f32", shape, bytes: randomBytes(name, shape) },
    ]),
  );
  const write = async (bytes: Uint8Array): Promise<void> => {
    if (!stream.write(bytes)) await new Promise<void>((resume) => stream.once("drain", resume));
  };
  await writeSafetensors(tensors, { format: "pt" }, { write });
  stream.end();
  await finished(stream);
  console.log(`wrote ${file}`);
}

function writeJson(path: string, value: unknown): void {
  const file = join(folder!, path);
  mkdirSync(resolve(file, ".."), { recursive: true });
  writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`);
}

const table = [CLIP_L_TEXT.vocabSize, CLIP_L_TEXT.hiddenSize] as const;
await writeWeights(
  "text_encoder/model.safetensors",
  new Map([[`${TOKEN_TABLE}.weight`, table], ...manifest(textGraph(CLIP_L_TEXT))]),
);
await writeWeights(
  "vae/diffusion_pytorch_model.safetensors",
  new Map([...manifest(encoderGraph(SD_VAE)), ...manifest(decoderGraph(SD_VAE))]),
);
await writeWeights("unet/diffusion_pytorch_model.safetensors", manifest(unetGraph(SD1_UNET)));

const merges = await clipMerges();
const vocabulary = clipVocabulary(merges);
writeJson("model_index.json", modelIndexJson("PNDMScheduler"));
writeJson("unet/config.json", unetConfigJson(SD1_UNET));
writeJson("vae/config.json", vaeConfigJson(SD_VAE, 512));
writeJson("text_encoder/config.json", clipConfigJson(CLIP_L_TEXT, { start: 49406, end: 49407 }));
writeJson("tokenizer/vocab.json", Object.fromEntries(vocabulary));
writeFileSync(
  join(folder, "tokenizer/merges.txt"),
  `#version: 0.2\n${merges.map((pair) => pair.join(" ")).join("\n")}\n`,
);
const scheduler = resolve(import.meta.dirname, "../test/golden/models/tiny-sd1/scheduler");
cpSync(scheduler, join(folder, "scheduler"), { recursive: true });
