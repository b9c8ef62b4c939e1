import type { ComputeType } from "../onnx/builder.js";
import type { PlacedWeight } from "../onnx/lower.js";
import { fromFloat32, readTensor } from "../tensor/convert.js";
import type { DType } from "../tensor/dtype.js";
import type { StoredTensor, StoredTensors } from "../tensor/stored.js";
import { sizeOf } from "../tensor/tensor.js";
import { check } from "../util/errors.js";
import type { SessionSpec, WeightBlob } from "./protocol.js";
import type { DeviceSetup } from "./setup.js";

/** External weights are named relative to the root, so that any file can be reached. */
const FILES_FROM_ROOT = {
  "session.model_external_initializers_file_folder_path": "/",
};

/** Weights that are read from a network or a Blob at the same time. */
const READS_AT_ONCE = 16;

/**
 * Weights in files are named by path and offset, others are read when the program is loaded. The engine
 * takes all of them from files or all from memory: one that lies in no file takes the rest along. What
 * is read for half precision is rounded on the way.
 */
export function placeWeights(
  label: string,
  weights: StoredTensors,
  { mapsFiles, compute }: { readonly mapsFiles: boolean; readonly compute: ComputeType },
): { place: (name: string) => PlacedWeight; blobs: () => Promise<WeightBlob[]> } {
  const inMemory = new Map<string, StoredTensor>();
  const maps = mapsFiles && [...weights.values()].every(lies);
  return {
    place(name) {
      const weight = weightOf(label, weights, name);
      const { dtype, source, offset, length } = weight;
      if (maps && length > 0) {
        const location = source.path!.replace(/^\/+/, "");
        return { dtype, data: { kind: "external", location, offset, length } };
      }
      inMemory.set(name, weight);
      const sent = sentAs(dtype, compute);
      const bytes = sent === dtype ? length : sizeOf(weight.shape) * (sent === "f16" ? 2 : 4);
      const data = { kind: "external", location: name, offset: 0, length: bytes } as const;
      return { dtype: sent, data };
    },
    async blobs() {
      const blobs: WeightBlob[] = [];
      const entries = [...inMemory];
      for (let i = 0; i < entries.length; i += READS_AT_ONCE) {
        const group = entries.slice(i, i + READS_AT_ONCE).map(async ([path, weight]) => {
          return { path, data: await readBlob(weight, compute) };
        });
        blobs.push(...(await Promise.all(group)));
      }
      return blobs;
    },
  };
}

/** The weight of this name. Throws "mismatch" when it is missing. */
export function weightOf(label: string, weights: StoredTensors, name: string): StoredTensor {
  const weight = weights.get(name);
  check(weight !== undefined, "mismatch", `${label}: the weight "${name}" is missing.`);
  return weight;
}

/** Whether a tensor's bytes are those of a file, or none. */
const lies = ({ source, length }: StoredTensor): boolean =>
  source.path !== undefined || length === 0;

/**
 * What a weight is in the worker's memory: onnxruntime-web's WebGPU build cannot cast bfloat16, and
 * half precision has no need of more bytes than it computes with.
 */
const sentAs = (dtype: DType, compute: ComputeType): DType =>
  dtype === "bf16" || dtype === "f32" ? compute : dtype;

/** A weight's bytes in a buffer of their own, which moves to the worker. */
async function readBlob(
  weight: StoredTensor,
  compute: ComputeType,
): Promise<Uint8Array<ArrayBuffer>> {
  const { dtype, source, offset, length } = weight;
  if (sentAs(dtype, compute) === dtype) return (await source.read(offset, length)).slice();
  return fromFloat32((await readTensor(weight)).data, compute);
}

/** What a session over these weights is made of. */
export function sessionSpec(
  setup: DeviceSetup,
  model: Uint8Array<ArrayBuffer>,
  blobs: readonly WeightBlob[],
  { config, ...more }: Partial<SessionSpec> = {},
): SessionSpec {
  return {
    model,
    blobs,
    provider: setup.provider,
    threads: setup.threads,
    optimization: "all",
    config: { ...(setup.mapsFiles ? FILES_FROM_ROOT : {}), ...setup.config, ...config },
    saveTo: undefined,
    profile: undefined,
    ...more,
  };
}

/**
 * Loads while the files of `weights` are what was opened; throws "io" or "not-found", naming the file,
 * where one is not: an engine that misses bytes does not say of which file.
 */
export async function unchanged<T>(
  weights: readonly StoredTensor[],
  load: () => Promise<T>,
): Promise<T> {
  await checkUnchanged(weights);
  try {
    return await load();
  } catch (error) {
    await checkUnchanged(weights);
    throw error;
  }
}

/** Throws "io" or "not-found", naming the file, when one that the engine maps is not what was opened. */
async function checkUnchanged(weights: readonly StoredTensor[]): Promise<void> {
  for (const source of new Set(weights.map((w) => w.source))) {
    if (source.path !== undefined) await source.read(0, Math.min(1, source.size));
  }
}
