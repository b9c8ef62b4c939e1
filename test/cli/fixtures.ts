import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  readTensorFile,
  storedChunks,
  type TensorToWrite,
  writeSafetensors,
} from "../../src/formats/index.js";
import type { StoredTensor } from "../../src/tensor/stored.js";
import { memorySource } from "../../src/util/bytes.js";

export const MODELS: string = new URL("../golden/models", import.meta.url).pathname;
export const PICTURES: string = new URL("../golden/pipelines", import.meta.url).pathname;
export const FORMATS: string = new URL("../golden/formats", import.meta.url).pathname;
export const MICRO: string = `${MODELS}/micro`;

export interface Scratch extends Disposable {
  readonly path: string;
  /** Writes a file; returns its path. */
  file(name: string, content: string | Uint8Array): string;
}

/** A folder that goes away. */
export function scratch(): Scratch {
  const path = mkdtempSync(join(tmpdir(), "tintype-cli-"));
  return {
    path,
    file(name, content) {
      writeFileSync(join(path, name), content);
      return join(path, name);
    },
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}

/** A safetensors file of this header, and of so many zero bytes. */
export function rawSafetensors(header: unknown, bytes: number): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(header));
  const file = new Uint8Array(8 + json.length + bytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true);
  file.set(json, 8);
  return file;
}

/** A copy of the smallest model whose UNet's weights went through `change`. */
export async function changedModel(
  to: string,
  change: (tensors: Map<string, StoredTensor>) => void,
): Promise<string> {
  cpSync(MICRO, to, { recursive: true });
  const path = `${to}/unet/diffusion_pytorch_model.safetensors`;
  const source = memorySource(path, new Uint8Array(readFileSync(path)));
  const tensors = new Map((await readTensorFile(source)).tensors);
  change(tensors);
  const rows = [...tensors].map(([key, stored]): [string, TensorToWrite] => {
    return [key, { dtype: stored.dtype, shape: stored.shape, bytes: storedChunks(stored) }];
  });
  const chunks: Uint8Array[] = [];
  await writeSafetensors(new Map(rows), undefined, {
    write: (chunk) => Promise.resolve(void chunks.push(chunk.slice())),
  });
  writeFileSync(path, Buffer.concat(chunks));
  return to;
}
