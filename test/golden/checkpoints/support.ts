/** What the tests of src/checkpoints share: golden tables, files and folders in memory. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { writeSafetensors } from "../../../src/formats/index.js";
import type { StoredTensor, StoredTensors } from "../../../src/tensor/stored.js";
import { sizeOf } from "../../../src/tensor/tensor.js";
import { type ByteSource, type Folder, memorySource } from "../../../src/util/bytes.js";
import { TintypeError } from "../../../src/util/errors.js";

export type KeyAndShape = readonly [key: string, shape: readonly number[]];
export type Part = "unet" | "vae" | "text";
type Parts<T> = Readonly<Record<Part, readonly T[]>>;

export interface Published {
  readonly ldm: readonly KeyAndShape[];
  /** Name, shape, index into `ldm`, third of its rows. */
  readonly ours: Parts<readonly [string, readonly number[], number, 0 | 1 | 2 | null]>;
}

export interface Tiny {
  readonly ldm: readonly KeyAndShape[];
  readonly configs: Readonly<Record<Part, Record<string, unknown>>>;
  /** Name, shape, checksum. */
  readonly ours: Parts<readonly [string, readonly number[], number]>;
}

function golden<T>(name: string): Readonly<Record<string, T>> {
  const bytes = readFileSync(new URL(`${name}.json.gz`, import.meta.url));
  return JSON.parse(gunzipSync(bytes).toString());
}

export const readPublished = (): Readonly<Record<string, Published>> => golden("published");
export const readTiny = (): Readonly<Record<string, Tiny>> => golden("tiny");

const NOWHERE: ByteSource = {
  name: "model.safetensors",
  size: Number.MAX_SAFE_INTEGER,
  read: () => Promise.reject(new Error("no bytes here")),
};

/** float32 tensors, one after the other in a file whose bytes nobody may read. */
export function tensorsWithoutBytes(rows: Iterable<KeyAndShape>): Map<string, StoredTensor> {
  const out = new Map<string, StoredTensor>();
  let offset = 0;
  for (const [key, shape] of rows) {
    const length = 4 * sizeOf(shape);
    out.set(key, { dtype: "f32", shape, source: NOWHERE, offset, length });
    offset += length;
  }
  return out;
}

/** Tensor k of the golden files: element i is (7919 k + 31 i) mod 1021. */
function filled(k: number, shape: readonly number[]): Uint8Array<ArrayBuffer> {
  const data = new Float32Array(sizeOf(shape));
  for (let i = 0; i < data.length; i++) data[i] = (7919 * k + 31 * i) % 1021;
  return new Uint8Array(data.buffer);
}

/** A safetensors file in memory. */
export async function safetensors(
  name: string,
  rows: readonly KeyAndShape[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<ByteSource> {
  const chunks: Uint8Array[] = [];
  const tensors = rows.map(
    ([key, shape], k) => [key, { dtype: "f32", shape, bytes: filled(k, shape) }] as const,
  );
  const write = (bytes: Uint8Array<ArrayBuffer>) => Promise.resolve(void chunks.push(bytes.slice()));
  await writeSafetensors(new Map(tensors), metadata, { write });
  return memorySource(name, new Uint8Array(Buffer.concat(chunks)));
}

/** A safetensors file of zeros, of any size: float32 tensors behind an ordinary header. */
export function sparseSafetensors(
  name: string,
  rows: readonly KeyAndShape[],
  metadata: Readonly<Record<string, string>> = {},
): ByteSource {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let end = 0;
  for (const [key, shape] of rows) {
    const start = end;
    end += 4 * sizeOf(shape);
    header[key] = { dtype: "F32", shape, data_offsets: [start, end] };
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const head = new Uint8Array(8 + json.length);
  new DataView(head.buffer).setBigUint64(0, BigInt(json.length), true);
  head.set(json, 8);
  const read = (offset: number, length: number) => {
    const bytes = new Uint8Array(length);
    bytes.set(head.subarray(offset, offset + length));
    return Promise.resolve(bytes);
  };
  return { name, size: head.length + end, read };
}

/** sum over j of value[j] * (j mod 97 + 1) of a float32 tensor. */
export async function checksum(tensor: StoredTensor): Promise<number> {
  const bytes = await tensor.source.read(tensor.offset, tensor.length);
  const data = new Float32Array(bytes.slice().buffer);
  return data.reduce((sum, value, j) => sum + value * ((j % 97) + 1), 0);
}

export type Files = Readonly<Record<string, string | object | ByteSource>>;

/** A folder in memory: text, JSON or bytes by path. */
export function memoryFolder(name: string, files: Files): Folder {
  const source = (path: string): ByteSource => {
    const file = files[path];
    if (file === undefined) throw new TintypeError("not-found", `${name}/${path} is not there.`);
    if (typeof file === "object" && "read" in file) return { ...file, name: `${name}/${path}` };
    const text = typeof file === "string" ? file : JSON.stringify(file);
    return memorySource(`${name}/${path}`, new TextEncoder().encode(text));
  };
  return {
    name,
    list: () => Promise.resolve(Object.keys(files).sort()),
    open: (path) => Promise.resolve(source(path)),
  };
}

/** Everything of a diffusers folder but its weights. */
export function configFiles(tiny: Tiny): Record<string, string | object> {
  return {
    "model_index.json": {
      _class_name: "StableDiffusionPipeline",
      unet: ["diffusers", "UNet2DConditionModel"],
      vae: ["diffusers", "AutoencoderKL"],
      text_encoder: ["transformers", "CLIPTextModel"],
      tokenizer: ["transformers", "CLIPTokenizer"],
      scheduler: ["diffusers", "PNDMScheduler"],
    },
    "unet/config.json": tiny.configs.unet,
    "vae/config.json": tiny.configs.vae,
    "text_encoder/config.json": tiny.configs.text,
    "scheduler/scheduler_config.json": { _class_name: "PNDMScheduler", steps_offset: 1 },
    "tokenizer/vocab.json": "{}",
    "tokenizer/merges.txt": "#version: 0.2",
  };
}

export function withoutKeys(tensors: StoredTensors, pattern: RegExp): Map<string, StoredTensor> {
  return new Map([...tensors].filter(([key]) => !pattern.test(key)));
}
