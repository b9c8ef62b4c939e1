import {
  clipConfigJson,
  modelIndexJson,
  unetConfigJson,
  vaeConfigJson,
} from "../checkpoints/configJson.js";
import { tokenizerFiles } from "../checkpoints/index.js";
import { type TensorToWrite, writeSafetensors } from "../formats/index.js";
import { manifest } from "../graph/graph.js";
import { TOKEN_TABLE } from "../models/clip/model.js";
import { vaeFactor } from "../models/vae/config.js";
import { decoderGraph, encoderGraph, textGraph, unetGraph } from "../pipelines/graphs.js";
import type { Files } from "../platform/types.js";
import { writeJson, writeText } from "../platform/writeText.js";
import { sizeOf } from "../tensor/tensor.js";
import { throwIfAborted } from "../util/errors.js";
import type { PublishedShapes } from "./publishedShapes.js";

type Shapes = ReadonlyMap<string, readonly number[]>;

/** How a random model is written. */
export interface RandomModelOptions {
  /** Told how many of its bytes are written. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Files of weights, by their path in the folder. */
function weightFiles({ text, unet, vae }: PublishedShapes): ReadonlyMap<string, Shapes> {
  const table = [text.vocabSize, text.hiddenSize];
  const encoder = [[`${TOKEN_TABLE}.weight`, table] as const, ...manifest(textGraph(text))];
  // The prefix that all versions of transformers read.
  const named = encoder.map(([name, shape]) => [`text_model.${name}`, shape] as const);
  return new Map([
    ["text_encoder/model.safetensors", new Map(named)],
    ["unet/diffusion_pytorch_model.safetensors", manifest(unetGraph(unet))],
    [
      "vae/diffusion_pytorch_model.safetensors",
      new Map([...manifest(encoderGraph(vae)), ...manifest(decoderGraph(vae))]),
    ],
  ]);
}

const bytesOf = (shapes: Shapes): number =>
  [...shapes.values()].reduce((sum, shape) => sum + 4 * sizeOf(shape), 0);

/** Bytes of the weights that `writeRandomModel` writes. */
export function randomModelBytes(shapes: PublishedShapes): number {
  return [...weightFiles(shapes).values()].reduce((sum, file) => sum + bytesOf(file), 0);
}

/**
 * Writes a diffusers folder with float32 weights drawn from a fixed seed, so that speed and memory can be
 * measured where nothing can be downloaded. model_index.json, which makes the folder a model, comes last.
 * Throws "io" for a disk that refuses, "aborted" once the signal is.
 */
export async function writeRandomModel(
  files: Files,
  folder: string,
  shapes: PublishedShapes,
  { onProgress, signal }: RandomModelOptions = {},
): Promise<void> {
  const total = randomModelBytes(shapes);
  const draw = uniform();
  let done = 0;
  for (const [path, tensors] of weightFiles(shapes)) {
    await files.makeFolder(`${folder}/${path.split("/")[0]}`);
    const sink = await files.append(`${folder}/${path}`, 0);
    try {
      await writeSafetensors(
        randomTensors(tensors, draw),
        { format: "pt" },
        {
          async write(bytes) {
            throwIfAborted(signal);
            await sink.write(bytes);
            done += bytes.length;
            onProgress?.(Math.min(done, total), total);
          },
        },
      );
    } finally {
      await sink.close();
    }
  }
  await writeConfigs(files, folder, shapes);
}

async function writeConfigs(files: Files, folder: string, shapes: PublishedShapes): Promise<void> {
  const { unet, vae, text, tokenizer, scheduler } = shapes;
  const side = unet.sampleSize * vaeFactor(vae);
  const tokens = { start: text.vocabSize - 2, end: text.vocabSize - 1 };
  for (const name of ["tokenizer", "scheduler"]) await files.makeFolder(`${folder}/${name}`);
  for (const [name, content] of Object.entries(await tokenizerFiles(tokenizer))) {
    await writeText(files, `${folder}/tokenizer/${name}`, content);
  }
  await writeJson(files, `${folder}/unet/config.json`, unetConfigJson(unet));
  await writeJson(files, `${folder}/vae/config.json`, vaeConfigJson(vae, side));
  await writeJson(files, `${folder}/text_encoder/config.json`, clipConfigJson(text, tokens));
  await writeJson(files, `${folder}/scheduler/scheduler_config.json`, scheduler);
  await writeJson(files, `${folder}/model_index.json`, modelIndexJson(scheduler._class_name));
}

/** Uniform numbers in [-1, 1), the same each time. Source: Numerical Recipes' quick generator. */
function uniform(): () => number {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state / 2 ** 31;
  };
}

function randomTensors(shapes: Shapes, draw: () => number): ReadonlyMap<string, TensorToWrite> {
  const rows = [...shapes].map(([name, shape]): [string, TensorToWrite] => {
    return [name, { dtype: "f32", shape, bytes: randomPieces(name, shape, draw) }];
  });
  return new Map(rows);
}

/** Numbers of a piece: what is held in memory at a time. */
const PIECE = 1 << 20;

/** Weights that keep activations near unit variance: ordinary numbers everywhere, so an ordinary pace. */
function* randomPieces(
  name: string,
  shape: readonly number[],
  draw: () => number,
): Generator<Uint8Array<ArrayBuffer>> {
  const size = sizeOf(shape);
  const isVector = shape.length === 1;
  const isScale = isVector && name.endsWith("weight");
  const gain = isVector ? 0.05 : Math.sqrt(3 / sizeOf(shape.slice(1)));
  for (let at = 0; at < size; at += PIECE) {
    const piece = new Float32Array(Math.min(PIECE, size - at)).fill(1);
    if (!isScale) for (let i = 0; i < piece.length; i++) piece[i] = gain * draw();
    yield new Uint8Array(piece.buffer);
  }
}
