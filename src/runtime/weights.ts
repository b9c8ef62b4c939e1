import type { PlacedWeight } from "../onnx/lower.js";
import { readTensor } from "../tensor/convert.js";
import type { StoredTensor, StoredTensors } from "../tensor/stored.js";
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
 * takes all of them from files or all from memory: one that lies in no file takes the rest along.
 */
export function placeWeights(
  label: string,
  weights: StoredTensors,
  mapsFiles: boolean,
): { place: (name: string) => PlacedWeight; blobs: () => Promise<WeightBlob[]> } {
  const inMemory = new Map<string, StoredTensor>();
  const maps = mapsFiles && [...weights.values()].every(lies);
  return {
    place(name) {
      const weight = weights.get(name);
      check(weight !== undefined, "mismatch", `${label}: the weight "${name}" is missing.`);
      const { dtype, source, offset, length } = weight;
      if (maps && length > 0) {
        const location = source.path!.replace(/^\/+/, "");
        return { dtype, data: { kind: "external", location, offset, length } };
      }
      inMemory.set(name, weight);
      // onnxruntime-web's WebGPU build cannot cast bfloat16.
      const widened = dtype === "bf16" ? 2 : 1;
      return {
        dtype: dtype === "bf16" ? "f32" : dtype,
        data: { kind: "external", location: name, offset: 0, length: widened * length },
      };
    },
    async blobs() {
      const blobs: WeightBlob[] = [];
      const entries = [...inMemory];
      for (let i = 0; i < entries.length; i += READS_AT_ONCE) {
        const group = entries.slice(i, i + READS_AT_ONCE).map(async ([path, weight]) => {
          return { path, data: await readBlob(weight) };
        });
        blobs.push(...(await Promise.all(group)));
      }
      return blobs;
    },
  };
}

/** Whether a tensor's bytes are those of a file, or none. */
const lies = ({ source, length }: StoredTensor): boolean =>
  source.path !== undefined || length === 0;

/** A weight's bytes in a buffer of their own, which moves to the worker; bfloat16 as float32. */
async function readBlob(weight: StoredTensor): Promise<Uint8Array<ArrayBuffer>> {
  if (weight.dtype === "bf16") return new Uint8Array((await readTensor(weight)).data.buffer);
  return (await weight.source.read(weight.offset, weight.length)).slice();
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
